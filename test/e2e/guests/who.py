"""Answers each line of a connection with the number of its process, and with how many connections it has had.

usage: who.py PORT [MARK]
"""
import os
import socketserver
import sys

served = 0


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global served
        served += 1
        for _ in self.rfile:
            self.wfile.write(f"{os.getpid()} {served}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("", int(sys.argv[1])), Handler).serve_forever()
