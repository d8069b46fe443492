"""Tells each client the two addresses of its connection."""
import json
import socket

with socket.create_server(("", 7000)) as server:
    while True:
        connection, peer = server.accept()
        with connection:
            seen = {"accept": peer, "peer": connection.getpeername(), "local": connection.getsockname()}
            connection.sendall(json.dumps(seen).encode())
