"""One worker of a batch that counts primes: all have the same program, and learn from the cluster which share is theirs.

The first one collects what the others have found, and answers on port 80.
"""
import http.server
import os
import socket

LIMIT = 200_000
PORT = 9000

nodes = [line.rstrip("\n").split("\t") for line in open(os.environ["IMAGINARY_NODES"])]
workers = [name for _, name, _ in nodes if name.startswith("worker-")]
rank = workers.index(os.environ["IMAGINARY_NODE_NAME"])


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


found = sum(is_prime(n) for n in range(rank, LIMIT, len(workers)))
print(f"{found} primes in share {rank} of {len(workers)}")

if rank > 0:
    with socket.create_server(("", PORT)) as server:
        while True:
            with server.accept()[0] as client:
                client.sendall(str(found).encode())

shares = [found]
for worker in workers[1:]:
    with socket.create_connection((worker, PORT)) as other:
        shares.append(int(other.makefile().read()))


class Result(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{sum(shares)} primes below {LIMIT}: {' + '.join(map(str, shares))}\n".encode())


http.server.ThreadingHTTPServer(("", 80), Result).serve_forever()
