"""An ordinary Python service: takes a job over HTTP, prices the order and leaves the invoice in Redis."""

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REDIS_HOST, REDIS_PORT = os.environ.get("REDIS", "redis:6379").split(":")
PORT = int(os.environ.get("PORT", "9000"))


def redis_set(key: str, value: str) -> None:
    """SET in Redis's protocol."""
    words = [b"SET", key.encode(), value.encode()]
    command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    with socket.create_connection((REDIS_HOST, int(REDIS_PORT))) as connection:
        connection.sendall(command)
        reply = connection.makefile("rb").readline()
    if reply != b"+OK\r\n":
        raise RuntimeError(f"redis: {reply!r}")


def invoice(number: int) -> dict:
    """What the order costs: the sum of its first `number` items."""
    return {"items": number, "cents": sum(199 + 10 * item for item in range(number))}


class Jobs(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        redis_set(f"invoice:{job['number']}", json.dumps(invoice(job["number"])))
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    print(f"worker: listening on {PORT}", flush=True)
    ThreadingHTTPServer(("0.0.0.0", PORT), Jobs).serve_forever()
