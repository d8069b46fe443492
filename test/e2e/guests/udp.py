"""A UDP server that answers each datagram with what it sees, in JSON.

usage: udp.py PORT [SECONDS_BEFORE_BIND]
`ask HOST PORT TEXT` sends TEXT there from the same socket and answers with what comes back.
"""
import json
import socket
import sys
import time

if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
server.settimeout(20)
while True:
    try:
        data, peer = server.recvfrom(65536)
    except TimeoutError:
        continue
    seen = {"data": data.decode(), "peer": peer, "local": server.getsockname(), "host": socket.gethostname()}
    if data.startswith(b"ask "):
        _, name, port, text = data.decode().split(" ", 3)
        server.sendto(text.encode(), (name, int(port)))
        answer, source = server.recvfrom(65536)
        seen["answer"] = json.loads(answer)
        seen["source"] = source
    server.sendto(json.dumps(seen).encode(), peer)
