"""Connects without blocking in every way a program can wait, and prints one JSON object of what it saw.

usage: nonblocking.py HOST PORT [TICKS]     prints `ticked` once a thread that waits for nothing has run so many times
"""
import asyncio
import errno
import json
import select
import socket
import sys
import threading
import time

host, port = sys.argv[1], int(sys.argv[2])
address = (socket.gethostbyname(host), port)
ticks = 0
stop = threading.Event()


def tick():
    global ticks
    while not stop.wait(0.01):
        ticks += 1
        if [str(ticks)] == sys.argv[3:]:
            print("ticked", flush=True)


def attempt(before, wait):
    """before(sock) may register the socket ahead of connect; wait(sock) returns when it is writable."""
    sock = socket.socket()
    sock.setblocking(False)
    before(sock)
    start = time.monotonic()
    code = sock.connect_ex(address)
    returned = time.monotonic() - start
    if code == errno.EINPROGRESS:
        wait(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    result = {"error": errno.errorcode.get(code, code), "connectMs": round(returned * 1000, 1)}
    if code == 0:
        result["peer"] = sock.getpeername()
        sock.setblocking(True)
        sock.sendall(b"ping\n")
        result["data"] = sock.recv(100).decode()
    sock.close()
    return result


def with_epoll(flags, registered_before):
    poller = select.epoll()

    def register(sock):
        poller.register(sock.fileno(), select.EPOLLOUT | select.EPOLLIN | flags)

    def before(sock):
        if registered_before:
            register(sock)
            # What an unconnected socket reports (EPOLLHUP) is seen and left behind, as nginx does with edges.
            poller.poll(0)

    def wait(sock):
        if not registered_before:
            register(sock)
        while True:
            for _, events in poller.poll(60):
                if events & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
                    return

    return attempt(before, wait)


def with_poll(sock):
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    poller.poll(60_000)


def with_select(sock):
    select.select([], [sock], [], 60)


async def with_asyncio():
    loop_ticks = 0

    async def count():
        nonlocal loop_ticks
        while True:
            await asyncio.sleep(0.01)
            loop_ticks += 1

    counter = asyncio.ensure_future(count())
    try:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"ping\n")
        data = await reader.readline()
        writer.close()
        return {"error": 0, "data": data.decode(), "ticks": loop_ticks}
    except OSError as error:
        return {"error": errno.errorcode[error.errno], "ticks": loop_ticks}
    finally:
        counter.cancel()


ways = {
    "epollBefore": lambda: with_epoll(0, True),
    "epollEdgeBefore": lambda: with_epoll(select.EPOLLET, True),
    "epollAfter": lambda: with_epoll(0, False),
    "epollEdgeAfter": lambda: with_epoll(select.EPOLLET, False),
    "poll": lambda: attempt(lambda s: None, with_poll),
    "select": lambda: attempt(lambda s: None, with_select),
    "asyncio": lambda: asyncio.run(with_asyncio()),
}
threading.Thread(target=tick, daemon=True).start()
results = {}
threads = [threading.Thread(target=lambda n=name: results.__setitem__(n, ways[n]())) for name in ways]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stop.set()
results["ticks"] = ticks
print(json.dumps(results))
