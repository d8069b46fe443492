"""What 8 clients store at the same time comes back as it was, up to memcached's 1 MB."""
import hashlib
import socket
import threading

right = []


def client(number):
    with socket.create_connection(("cache", 11211)) as connection:
        answers = connection.makefile("rb")
        for size in (1, 100, 10_000, 1_000_000):
            value = hashlib.shake_128(f"{number} {size}".encode()).digest(size)
            connection.sendall(b"set k%d-%d 0 0 %d\r\n%s\r\n" % (number, size, size, value))
            assert answers.readline() == b"STORED\r\n"
            connection.sendall(b"get k%d-%d\r\n" % (number, size))
            assert answers.readline() == b"VALUE k%d-%d 0 %d\r\n" % (number, size, size)
            assert answers.read(size + 7) == value + b"\r\nEND\r\n"
            right.append((number, size))


threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(right) == 32, right
print(len(right), "values came back")
