"""Echoes lines. A line `use N` has it take N megabytes first; `share N` has it start processes that take them together.

usage: greedy.py PORT [MEGABYTES_BEFORE_LISTEN]
"""
import socketserver
import subprocess
import sys

held = []
SHARE = 4
ONE = f"held = bytearray(b'x' * ({SHARE} << 20)); print('here', flush=True); input()"


def use(megabytes):
    for _ in range(megabytes):
        held.append(bytearray(b"x" * (1 << 20)))


def share(megabytes):
    for _ in range(megabytes // SHARE):
        child = subprocess.Popen([sys.executable, "-S", "-c", ONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        held.append(child)
        child.stdout.readline()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            word, *rest = line.decode().split()
            if word in ("use", "share"):
                (use if word == "use" else share)(int(rest[0]))
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if len(sys.argv) > 2:
    use(int(sys.argv[2]))
Server(("", int(sys.argv[1])), Handler).serve_forever()
