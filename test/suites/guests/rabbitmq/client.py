"""The first AMQP client is why the broker is started: it is answered with Connection.Start, as is one that comes later."""
import socket
import struct

for number in range(2):
    with socket.create_connection(("rabbit", 5672)) as connection:
        connection.sendall(b"AMQP\0\0\x09\x01")
        frame = connection.makefile("rb")
        kind, channel, size = struct.unpack(">BHI", frame.read(7))
        method = struct.unpack(">HH", frame.read(4))
        frame.read(size - 4)
        assert (kind, channel, method, frame.read(1)) == (1, 0, (10, 10), b"\xce"), (kind, channel, method)
        print("client", number, "is asked to start a connection")
