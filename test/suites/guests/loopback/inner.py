"""Serves its name on loopback only (port 7000); port 7001, open to all, answers with what port 7000 says.

usage: inner.py NAME
"""
import http.server
import sys
import threading
import urllib.request

name = sys.argv[1]


def handler(answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = answer()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

    return Handler


inner = http.server.ThreadingHTTPServer(("127.0.0.1", 7000), handler(lambda: f"inner {name}\n".encode()))
threading.Thread(target=inner.serve_forever, daemon=True).start()
outer = handler(lambda: urllib.request.urlopen("http://127.0.0.1:7000/").read())
http.server.ThreadingHTTPServer(("", 7001), outer).serve_forever()
