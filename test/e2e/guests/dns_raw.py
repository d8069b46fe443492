"""Asks DNS with nothing but a socket, in several ways, and prints who answered: what a program sees that checks that.

usage: dns_raw.py NAME [serve]: `serve` has port 53 itself meanwhile
"""
import json
import socket
import struct
import sys

server = [line.split()[1] for line in open('/etc/resolv.conf') if line.startswith('nameserver')][0]
name = sys.argv[1]


def question(number):
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    return struct.pack('>6H', number, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('>2H', 1, 1)


def read(answer, number):
    found, flags, _, answers, _, _ = struct.unpack('>6H', answer[:12])
    assert found == number, found
    return {'code': flags & 15, 'address': socket.inet_ntoa(answer[-4:]) if answers else None}


def unconnected():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(question(1), (server, 53))
        answer, source = s.recvfrom(512)
        return {**read(answer, 1), 'source': source}


def connected():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((server, 53))
        s.send(question(2))
        answer, _, _, source = s.recvmsg(512)
        return {**read(answer, 2), 'source': source, 'peer': s.getpeername()}


def mapped():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.sendto(question(3), ('::ffff:' + server, 53))
        answer, source = s.recvfrom(512)
        return {**read(answer, 3), 'source': source[:2]}


def stream():
    with socket.create_connection((server, 53), 10) as s:
        query = question(4)
        s.sendall(struct.pack('>H', len(query)) + query)
        with s.makefile('rb') as replies:
            answer = replies.read(struct.unpack('>H', replies.read(2))[0])
        return {**read(answer, 4), 'peer': s.getpeername()}


own = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
if len(sys.argv) > 2:
    for s in own:
        s.bind(('', 53))
    own[1].listen()
ways = [unconnected, connected, mapped, stream]
print(json.dumps({way.__name__: way() for way in ways}))
