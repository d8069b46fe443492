"""Starts slowly, as servers do, and answers each line after 100 ms.

usage: burst_server.py PORT SECONDS_BEFORE_LISTEN
"""
import socketserver
import sys
import time

time.sleep(float(sys.argv[2]))


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            time.sleep(0.1)
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


Server(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
