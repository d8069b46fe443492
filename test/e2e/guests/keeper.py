"""Keeps one connection to an echo.py open, from when somebody connects to port 7001 on, and reads from it.

usage: keeper.py HOST PORT
"""
import socket
import sys

listener = socket.create_server(("", 7001))
caller, _ = listener.accept()
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as sock:
    reader = sock.makefile()
    sock.sendall(b"there\n")
    assert reader.readline() == "there\n"
    caller.sendall(b"kept\n")
    caller.close()
    try:
        print("read", repr(reader.readline()), flush=True)
    except OSError as error:
        print(repr(error), flush=True)
listener.accept()
