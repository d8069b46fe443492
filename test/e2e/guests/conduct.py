"""A server that behaves as the first line of a connection says.

usage: conduct.py PORT...

echo      sends back what comes
count     reads to the end, then sends how many bytes came
flood N   sends N bytes, then ends
reset     resets the connection
hold      reads nothing and sends nothing; what becomes of it is the answer to `held`
held      sends how the last held connection has ended
"""
import socket
import struct
import sys
import threading

ended = []
has_ended = threading.Condition()


def hold(connection):
    connection.sendall(b"holding\n")
    try:
        end = "end" if connection.recv(1) == b"" else "data"
    except OSError as error:
        end = type(error).__name__
    with has_ended:
        ended.append(end)
        has_ended.notify_all()


def held(connection):
    with has_ended:
        has_ended.wait_for(lambda: ended, 30)
        connection.sendall((ended.pop() if ended else "nothing").encode())


def count(connection, stream):
    total = 0
    while chunk := stream.read(65536):
        total += len(chunk)
    connection.sendall(str(total).encode())


def flood(connection, size):
    block = bytes(range(256)) * 256
    while size > 0:
        size -= connection.send(block[: min(size, len(block))])


def serve(connection):
    with connection, connection.makefile("rb") as stream:
        what, *rest = stream.readline().split() or [b""]
        if what == b"echo":
            for line in stream:
                connection.sendall(line)
        elif what == b"count":
            count(connection, stream)
        elif what == b"flood":
            flood(connection, int(rest[0]))
        elif what == b"reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif what == b"hold":
            hold(connection)
        elif what == b"held":
            held(connection)


def listen(port):
    listener = socket.create_server(("0.0.0.0", port), backlog=512)
    return threading.Thread(target=accept, args=(listener,))


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


for thread in [listen(int(port)) for port in sys.argv[1:]]:
    thread.start()
