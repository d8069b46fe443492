"""usage: client.py [HOST]: both sides see the same two addresses; the client's own is HOST's."""
import json
import socket
import sys

with socket.create_connection(("server", 7000)) as client:
    local, peer = list(client.getsockname()), list(client.getpeername())
    seen = json.loads(client.makefile().read())
assert peer == [socket.gethostbyname("server"), 7000], peer
assert seen == {"accept": local, "peer": local, "local": peer}, (seen, local, peer)
if len(sys.argv) > 1:
    assert local[0] == socket.gethostbyname(sys.argv[1]), local
else:
    assert local[0] not in [socket.gethostbyname(name) for name in ("server", "guest", "untouched")], local
print(local, "->", peer)
