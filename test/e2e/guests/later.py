"""Answers each line at port 7000 with itself, but only once somebody has connected to port 7001; says how connections end.

usage: later.py
"""
import socketserver
import threading

released = threading.Event()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            for line in self.rfile:
                print("heard", flush=True)
                released.wait()
                self.wfile.write(line)
            print("end", flush=True)
        except OSError as error:
            print(repr(error), flush=True)


class Release(socketserver.BaseRequestHandler):
    def handle(self):
        released.set()
        self.request.sendall(b"released\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


threading.Thread(target=Server(("0.0.0.0", 7001), Release).serve_forever, daemon=True).start()
Server(("0.0.0.0", 7000), Handler).serve_forever()
