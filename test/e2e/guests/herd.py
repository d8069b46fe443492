"""Many processes with many connections each connect to one host at the same time; prints how many were served.

usage: herd.py HOST PORT PROCESSES CONNECTIONS
"""
import json
import multiprocessing
import socket
import sys
import threading

host, port, processes, connections = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])


def member(gate, results):
    outcomes = []

    def one(i):
        try:
            with socket.create_connection((host, port), timeout=60) as sock:
                sock.sendall(b"ping %d\n" % i)
                outcomes.append(sock.makefile().readline() == "ping %d\n" % i)
        except OSError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(connections)]
    gate.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(outcomes)


gate, results = multiprocessing.Barrier(processes), multiprocessing.Queue()
members = [multiprocessing.Process(target=member, args=(gate, results)) for _ in range(processes)]
for process in members:
    process.start()
outcomes = [outcome for _ in members for outcome in results.get()]
for process in members:
    process.join()
print(json.dumps({"served": outcomes.count(True), "failed": [o for o in outcomes if o is not True]}))
