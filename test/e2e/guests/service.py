"""Connects to echo.py's that serve as one service, and prints which of them it was led to.

usage: service.py NAME PORT hold COUNT      COUNT connections at once, half of them without blocking; closed at the end of
                                            the input
       service.py NAME PORT churn THREADS   one connection after the other until the end of the input

A line of JSON when it is connected (hold), or at the end (churn):
  hosts   connections by the address that the host has for itself
  peers   the addresses that getpeername showed
  failed  connects that failed
  broken  connections that stood and then failed
"""
import collections
import json
import socket
import sys
import threading

name, port, what, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
hosts, peers = collections.Counter(), set()
failed, broken, held = [], [], []
lock, ended = threading.Lock(), threading.Event()


def connect(blocking):
    try:
        sock = socket.create_connection((name, port), timeout=None if blocking else 60)
    except OSError as error:
        # Without blocking, a connection that stands may be reset before this program has asked whether it does.
        stood = not blocking and isinstance(error, ConnectionResetError)
        (broken if stood else failed).append(repr(error))
        return None
    try:
        sock.sendall(b"who\n")
        there = json.loads(sock.makefile().readline())["local"][0]
    except (OSError, ValueError) as error:
        broken.append(repr(error))
        return None
    with lock:
        hosts[there] += 1
        peers.add("%s:%d" % sock.getpeername())
    return sock


def hold(number):
    sock = connect(number % 2)
    if sock:
        held.append(sock)


def churn(number):
    while not ended.is_set():
        sock = connect(number % 2)
        if sock:
            sock.close()


def say():
    print(json.dumps({"hosts": hosts, "peers": sorted(peers), "failed": failed[:5], "broken": len(broken)}), flush=True)


threads = [threading.Thread(target=hold if what == "hold" else churn, args=(i,)) for i in range(count)]
for each in threads:
    each.start()
if what == "hold":
    for each in threads:
        each.join()
    say()
sys.stdin.read()
ended.set()
if what == "churn":
    for each in threads:
        each.join()
    say()
