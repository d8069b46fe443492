"""usage: udp_client.py (sendto|connected|both OUTSIDE_ADDRESS OUTSIDE_PORT|refused) HOST PORT [TEXT...]; prints JSON."""
import json
import select
import socket
import sys
import time

way, args = sys.argv[1], sys.argv[2:]
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.setblocking(False)
outside = None
if way == "both":
    outside, args = (args[0], int(args[1])), args[2:]
host, port, text = args[0], int(args[1]), " ".join(args[2:]) or "hello"
result = {}


def wait():
    if not select.select([client], [], [], 40)[0]:
        raise SystemExit("nothing came back")


if way == "refused":
    client.connect((socket.gethostbyname(host), port))
    try:
        client.send(b"x")
        wait()
        client.recv(10)
    except ConnectionRefusedError as error:
        result["error"] = error.strerror
else:
    start = time.monotonic()
    if way == "connected":
        client.connect((host, port))
        result["connected"] = [client.getsockname(), client.getpeername()]
        client.send(text.encode())
    else:
        client.sendto(text.encode(), (socket.gethostbyname(host), port))
    result["sendMs"] = (time.monotonic() - start) * 1000
    wait()
    data, result["source"] = client.recvfrom(65536)
    result["answer"] = json.loads(data)
    result["local"] = client.getsockname()
    if outside:
        client.sendto(b"outside", outside)
        wait()
        data, source = client.recvfrom(100)
        result["outside"] = [data.decode(), source]
        client.sendto(b"again", (host, port))
        wait()
        result["again"] = json.loads(client.recvfrom(65536)[0])
print(json.dumps(result))
