"""Connects of a guest, for the evaluation of services. Prints one line of JSON.

usage: connects.py time HOST SERVICE PORT COUNT          how long connect() takes, to the one and to the other in turn: µs
       connects.py load SERVICE PORT THREADS WARM SECONDS  each thread opens one connection after the other and keeps it for
                                                         some 200 ms; which hosts they went to after WARM seconds
"""
import collections
import json
import random
import socket
import sys
import threading
import time


def connected(name, port):
    sock = socket.socket()
    begin = time.perf_counter()
    sock.connect((socket.gethostbyname(name), port))
    took = time.perf_counter() - begin
    sock.settimeout(30)
    sock.sendall(b"who\n")
    return sock, took * 1e6, json.loads(sock.makefile().readline())["local"][0]


def times(host, service, port, count):
    took = {host: [], service: []}
    for i in range(count):
        # The order changes, so that neither always follows a pause.
        for name in (host, service) if i % 2 else (service, host):
            sock, micros, _ = connected(name, port)
            sock.close()
            took[name].append(micros)
            time.sleep(0.004)
    print(json.dumps({"host": took[host][count // 5:], "service": took[service][count // 5:]}))


def load(service, port, threads, warm, seconds):
    hosts, failed = collections.Counter(), []
    begin = time.monotonic()

    def client():
        while time.monotonic() < begin + warm + seconds:
            try:
                sock, _, there = connected(service, port)
            except (OSError, ValueError) as error:
                failed.append(repr(error))
                continue
            if time.monotonic() > begin + warm:
                hosts[there] += 1
            time.sleep(random.uniform(0.1, 0.3))
            sock.close()

    clients = [threading.Thread(target=client) for _ in range(threads)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    print(json.dumps({"hosts": hosts, "failed": failed[:3]}))


if sys.argv[1] == "time":
    times(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
else:
    load(sys.argv[2], *map(int, sys.argv[3:7]))
