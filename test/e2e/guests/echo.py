"""A line echo server that answers each line with itself, and `who` with the addresses it sees.

usage: echo.py PORT [SECONDS_BEFORE_LISTEN [BIND_ADDRESS]]
"""
import json
import socketserver
import sys
import time

port = int(sys.argv[1])
if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
served = 0


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global served
        served += 1
        for line in self.rfile:
            if line == b"who\n":
                seen = {"peer": self.client_address, "local": self.request.getsockname(), "served": served}
                line = (json.dumps(seen) + "\n").encode()
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


Server((sys.argv[3] if len(sys.argv) > 3 else "0.0.0.0", port), Handler).serve_forever()
