"""Reads from each node of a ZooKeeper, over a connection of its own, and writes how much was read.

usage: load.py [--every MS] NAME=HOST:PORT…

Every 100 ms, or as often as it is told, it writes the reads of each node, as JSON. Standard input has orders, one a line:
  leader      writes the name of the node that leads
  down NAME   ends the connection with the node, and makes no new one
  up NAME     connects to it again, and goes on
Each order is answered by a line that begins with it. A node that is down is left alone: no connect of ours brings it
back.
"""
import json
import socket
import struct
import sys
import threading
import time

# At most so many reads a second of each node: the machine shall not be what limits them.
PAUSE = 0.004
CONNECT = struct.pack(">iqiqi16s", 0, 0, 10_000, 0, 16, b"")
PATH = b"/zookeeper"
GET_DATA = 4


def say(line):
    print(line, flush=True)


class Node(threading.Thread):
    def __init__(self, name, address):
        super().__init__(daemon=True)
        self.name, self.address = name, address
        self.reads = 0
        self.wanted = threading.Event()
        self.wanted.set()

    def run(self):
        while True:
            self.wanted.wait()
            try:
                with socket.create_connection(self.address, timeout=5) as session:
                    session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.read(session)
            except OSError:
                # While there is no quorum, nodes close their clients' connections.
                time.sleep(0.05)

    def read(self, session):
        self.ask(session, CONNECT)
        xid = 0
        while self.wanted.is_set():
            xid += 1
            request = struct.pack(f">iii{len(PATH)}sb", xid, GET_DATA, len(PATH), PATH, 0)
            _, _, error = struct.unpack(">iqi", self.ask(session, request)[:16])
            if error:
                raise OSError(f"error {error}")
            self.reads += 1
            time.sleep(PAUSE)

    def ask(self, session, request):
        session.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", self.receive(session, 4))
        return self.receive(session, length)

    def receive(self, session, length):
        data = b""
        while len(data) < length:
            more = session.recv(length - len(data))
            if not more:
                raise OSError("closed")
            data += more
        return data


def leads(node):
    try:
        with socket.create_connection(node.address, timeout=5) as session:
            session.sendall(b"srvr")
            return b"Mode: leader" in session.makefile("rb").read()
    except OSError:
        return False


def report(nodes, every):
    while True:
        time.sleep(every)
        say(json.dumps({node.name: node.reads for node in nodes}))


arguments = sys.argv[1:]
every = 0.1
if arguments[:1] == ["--every"]:
    every = int(arguments[1]) / 1000
    arguments = arguments[2:]
nodes = [Node(name, tuple(address.split(":"))) for name, address in (argument.split("=") for argument in arguments)]
by_name = {node.name: node for node in nodes}
for node in nodes:
    node.start()
threading.Thread(target=report, args=[nodes, every], daemon=True).start()
for line in sys.stdin:
    order, *names = line.split()
    if order == "leader":
        names = [node.name for node in nodes if node.wanted.is_set() and leads(node)]
    for name in names if order in ("down", "up") else []:
        if order == "up":
            by_name[name].wanted.set()
        else:
            by_name[name].wanted.clear()
    say(" ".join([order, *names]))
