"""Passes the lines of one connection to port 7001 on to an echo.py, over another one, and what comes back.

usage: teller.py HOST PORT
"""
import socket
import sys

listener = socket.create_server(("", 7001))
while True:
    caller, _ = listener.accept()
    with caller, socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
        answers = sock.makefile()
        for line in caller.makefile():
            sock.sendall(line.encode())
            caller.sendall(answers.readline().encode())
