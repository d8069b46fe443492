"""GET /N: what `seq 1 N` prints; PUT: the body's digest."""
import hashlib
import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer("".join(f"{n}\n" for n in range(1, int(self.path[1:]) + 1)).encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(body).hexdigest().encode() + b"  -\n")


http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
