"""Keeps one connection to an echo.py open: sends each line of its input over it, and prints what comes back.

usage: hold.py HOST PORT
"""
import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    reader = sock.makefile()
    print("connected", flush=True)
    for line in sys.stdin:
        try:
            sock.sendall(line.encode())
            answer = reader.readline()
        except OSError as error:
            answer = f"{error!r}\n"
        print(answer.strip() or "end", flush=True)
