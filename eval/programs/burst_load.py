"""A load that rises tenfold in one step. Prints one line of JSON: when requests were answered, in seconds after the step.

usage: burst_load.py NAME PORT CLIENTS SECONDS_BEFORE SECONDS_AFTER      CLIENTS before the step, ten times as many after
       burst_load.py NAME PORT                                          one request: how long it took, in seconds
"""
import json
import socket
import sys
import threading
import time

name, port = sys.argv[1], int(sys.argv[2])


def requests(sock, many):
    reader = sock.makefile("rb")
    for _ in range(many):
        sock.sendall(b"x\n")
        if reader.readline() != b"x\n":
            raise OSError("no answer")
        yield time.monotonic()


if len(sys.argv) == 3:
    begin = time.monotonic()
    with socket.create_connection((name, port), timeout=60) as sock:
        for answered in requests(sock, 1):
            print(json.dumps(answered - begin))
    sys.exit()

clients, before, after = int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
answers, failed = [], []
step = time.monotonic() + before


def client():
    while time.monotonic() < step + after:
        try:
            with socket.create_connection((name, port), timeout=60) as sock:
                for answered in requests(sock, 20):
                    answers.append(answered - step)
                    if answered > step + after:
                        break
        except OSError as error:
            failed.append(repr(error))


def run(count):
    threads = [threading.Thread(target=client) for _ in range(count)]
    for each in threads:
        each.start()
    return threads


threads = run(clients)
time.sleep(before)
threads += run(9 * clients)
for each in threads:
    each.join()
print(json.dumps({"answers": sorted(answers), "failed": failed[:3]}))
