"""What a program in a namespace sees of its network. Prints one JSON value; `serve` goes on until it is ended."""
import json
import selectors
import socket
import sys
import time

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def endpoint(text):
    address, port = text.split(":")
    return address, int(port)


def bound(kind, port, timeout=5):
    sock = socket.socket(socket.AF_INET, KINDS[kind])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(timeout)
    sock.bind(("0.0.0.0", port))
    return sock


def tell(value):
    print(json.dumps(value), flush=True)


def serve(*ports):
    """Tells everyone where they come from, and echoes what follows."""
    every = selectors.DefaultSelector()

    def echo(sock, hello):
        data = sock.recv(65536)
        if data:
            sock.sendall(data)
        else:
            every.unregister(sock)
            sock.close()

    def accept(listener, _):
        sock, peer = listener.accept()
        sock.sendall(f"{peer[0]}:{peer[1]}\n".encode())
        every.register(sock, selectors.EVENT_READ, echo)

    def answer(sock, _):
        data, peer = sock.recvfrom(65536)
        sock.sendto(f"{peer[0]}:{peer[1]}\n".encode(), peer)

    for port in map(int, ports):
        listener = bound("tcp", port, None)
        listener.listen(64)
        every.register(listener, selectors.EVENT_READ, accept)
        every.register(bound("udp", port, None), selectors.EVENT_READ, answer)
    tell("ready")
    while True:
        for key, _ in every.select():
            try:
                key.data(key.fileobj, None)
            except ConnectionError:
                every.unregister(key.fileobj)
                key.fileobj.close()


def observed(kind, port, *servers):
    """Where each server sees one local port; all connections stay open meanwhile."""
    socks, seen = [], []
    for server in servers:
        sock = bound(kind, int(port))
        if kind == "udp" and socks:
            sock.close()
            sock = socks[0]
        try:
            if kind == "tcp":
                sock.connect(endpoint(server))
            else:
                sock.settimeout(1)
                sock.sendto(b"?", endpoint(server))
            seen.append(sock.recv(100).decode().strip())
        except OSError as error:
            seen.append(type(error).__name__)
        socks.append(sock)
    tell(seen)


def knock(server):
    """How a connection that the other side does not expect ends."""
    sock = socket.socket()
    sock.settimeout(0.5)
    try:
        sock.connect(endpoint(server))
        tell("connected")
    except OSError as error:
        tell(type(error).__name__)


def listen(port):
    """Accepts, and tells from where."""
    listener = bound("tcp", int(port), 10)
    listener.listen(8)
    tell("ready")
    tell(listener.accept()[1][0])


def punch(port, server):
    """Simultaneous open: the same from both sides. Exchanges the ports."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        sock = bound("tcp", int(port))
        try:
            sock.connect(endpoint(server))
            sock.sendall(port.encode() + b"\n")
            tell(sock.makefile().readline().strip())
            return
        except ConnectionRefusedError:
            sock.close()
    tell("late")


def meet(port, server):
    """Learns where one local port is seen, tells it, reads where the other side is seen, and opens a connection from that port."""
    first = bound("tcp", int(port))
    first.connect(endpoint(server))
    tell(first.recv(100).decode().strip())
    punch(port, sys.stdin.readline().strip())


def fastest(server):
    """Milliseconds of the fastest of some round trips."""
    sock = socket.create_connection(endpoint(server), 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.recv(100)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        sock.sendall(b"x")
        sock.recv(1)
        times.append(1000 * (time.perf_counter() - start))
    tell(min(times))


def throughput(server, megabytes):
    """Megabits per second of an echo, as it comes back."""
    sock = socket.create_connection(endpoint(server), 5)
    while sock.recv(1) != b"\n":
        pass
    total, left, back = int(megabytes) << 20, int(megabytes) << 20, 0
    sock.setblocking(False)
    both = selectors.DefaultSelector()
    both.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
    start, block = time.perf_counter(), b"x" * 262144
    while back < total:
        for _, events in both.select():
            if events & selectors.EVENT_READ:
                back += len(sock.recv(1 << 20))
            if events & selectors.EVENT_WRITE and left > 0:
                left -= sock.send(block[: min(left, len(block))])
                if left == 0:
                    both.modify(sock, selectors.EVENT_READ)
    tell(8 * total / 1e6 / (time.perf_counter() - start))


def talk(server):
    """A connection that says each line it reads, and what came back within a second."""
    sock = socket.create_connection(endpoint(server), 5)
    sock.settimeout(1)
    tell(sock.recv(100).decode().strip())
    for line in sys.stdin:
        try:
            sock.sendall(line.encode())
            tell(sock.recv(100).decode().strip())
        except OSError as error:
            tell(type(error).__name__)


globals()[sys.argv[1]](*sys.argv[2:])
