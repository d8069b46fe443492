"""Runs commands on a host for somebody else: how a step of a scenario becomes a guest among guests.

usage: errand.py serve          on the host, port 1: each connection names a command, and gets its output and exit code
       errand.py ask HOST CMD…  has it run there; output and exit code are those of the command
"""
import json
import socket
import socketserver
import subprocess
import sys

PORT = 1


class Errand(socketserver.StreamRequestHandler):
    def handle(self):
        command = json.loads(self.rfile.readline())
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.wfile.write(json.dumps({"code": done.returncode}).encode() + b"\n" + done.stdout)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


if sys.argv[1] == "serve":
    Server(("", PORT), Errand).serve_forever()
with socket.create_connection((sys.argv[2], PORT)) as sock:
    sock.sendall(json.dumps(sys.argv[3:]).encode() + b"\n")
    answer = sock.makefile("rb")
    result = json.loads(answer.readline() or '{"code": 125}')
    sys.stdout.buffer.write(answer.read())
sys.exit(result["code"] if result["code"] >= 0 else 128 - result["code"])
