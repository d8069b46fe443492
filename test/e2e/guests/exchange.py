"""Established connections, by every call and every way to wait that Python has; `access` calls mark the beginning and the end.

usage: exchange.py client HOST PORT     speaks to an echo server
       exchange.py both HOST PORT       is the echo server too, at its own address, in a child
"""
import os
import select
import socket
import sys

ROUNDS = 100
MESSAGE = b"0123456789abcdef" * 4 + b"\n"

role, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


def mark(what):
    os.access("/exchange-" + what, os.F_OK)


def serve(listener):
    connection, _ = listener.accept()
    mark("begin")
    while data := connection.recv(1000):
        connection.sendall(data)
    mark("end")
    os._exit(0)


def exchange(sock):
    fd = sock.fileno()
    into = bytearray(1000)
    sends = [
        lambda: sock.send(MESSAGE),
        lambda: sock.sendall(MESSAGE),
        lambda: sock.sendmsg([MESSAGE[:10], MESSAGE[10:]]),
        lambda: os.write(fd, MESSAGE),
        lambda: os.writev(fd, [MESSAGE[:10], MESSAGE[10:]]),
    ]
    receives = [
        lambda: sock.recv(1000),
        lambda: sock.recvfrom(1000)[0],
        lambda: sock.recvmsg(1000)[0],
        lambda: bytes(into[: sock.recv_into(into)]),
        lambda: os.read(fd, 1000),
        lambda: bytes(into[: os.readv(fd, [into])]),
    ]
    poll, epoll = select.poll(), select.epoll()
    poll.register(fd, select.POLLIN)
    epoll.register(fd, select.EPOLLIN)
    waits = [
        lambda: poll.poll(),
        lambda: epoll.poll(),
        lambda: select.select([fd], [], []),
        lambda: None,
    ]
    mark("begin")
    for round in range(ROUNDS):
        sends[round % len(sends)]()
        waits[round % len(waits)]()
        # The server's answer is one segment: it comes whole.
        assert receives[round % len(receives)]() == MESSAGE
    sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    # nginx asks before each request that it passes on.
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.shutdown(socket.SHUT_WR)
    assert sock.recv(1000) == b""
    mark("end")


if role == "both":
    with socket.create_server((host, port)) as listener:
        child = os.fork()
        if child == 0:
            serve(listener)
with socket.create_connection((host, port)) as sock:
    exchange(sock)
if role == "both":
    assert os.waitpid(child, 0)[1] == 0
