"""Answers each connection to port 8000 with what Redis on host `db` says to PING, or with the error."""
import socket

server = socket.create_server(("0.0.0.0", 8000))
while True:
    client, _ = server.accept()
    try:
        with socket.create_connection(("db", 6379)) as redis:
            redis.sendall(b"PING\r\n")
            client.sendall(redis.recv(64))
    except OSError as error:
        client.sendall(f"{error}\n".encode())
    client.close()
