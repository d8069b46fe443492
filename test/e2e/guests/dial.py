"""Connects to an echo.py, again and again, and checks what both sides see; prints what came of it.

usage: dial.py HOST PORT COUNT [PARALLEL]     COUNT connections, each of PARALLEL threads
"""
import json
import socket
import sys
import threading

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
parallel = int(sys.argv[4]) if len(sys.argv) > 4 else 1
address = socket.gethostbyname(host)
outcomes = []
gate = threading.Barrier(parallel)


def once(name):
    with socket.create_connection((host, port), timeout=30) as sock:
        reader = sock.makefile()
        sock.sendall(f"{name}\nwho\n".encode())
        echoed, seen = reader.readline(), json.loads(reader.readline())
        if echoed != f"{name}\n":
            return f"{echoed!r} instead of {name!r}"
        here, there = list(sock.getsockname()), list(sock.getpeername())
        if there != [address, port] or there != seen["local"] or here != seen["peer"]:
            return f"{here} → {there}, but there {seen}"
    return "ok"


def thread(number):
    gate.wait()
    for i in range(count):
        try:
            outcomes.append(once(f"{number}.{i}"))
        except (OSError, ValueError) as error:
            outcomes.append(f"{number}.{i}: {error!r}")


threads = [threading.Thread(target=thread, args=(n,)) for n in range(parallel)]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(json.dumps({"ok": outcomes.count("ok"), "failed": [o for o in outcomes if o != "ok"][:10]}))
