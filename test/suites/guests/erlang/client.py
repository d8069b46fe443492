"""Another host's word for each of 20 connections."""
import socket

for number in range(20):
    with socket.create_connection(("server", 7061)) as connection:
        connection.sendall(b"hello\n")
        word = connection.makefile("rb").read()
        assert word == b"erlang\n", (number, word)
print("20 connections were answered")
