"""An ordinary queue consumer: waits for jobs in Redis, and leaves an invoice there for each. Nobody connects to it."""

import json
import os
import socket

HOST, PORT = os.environ.get("REDIS", "redis:6379").split(":")


class Redis:
    """One connection, which is kept; as much of Redis's protocol as is needed."""

    def __init__(self) -> None:
        self.connection = socket.create_connection((HOST, int(PORT)))
        self.lines = self.connection.makefile("rb")

    def command(self, *words: str):
        encoded = [word.encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded]
        self.connection.sendall(b"".join(parts))
        return self.reply()

    def reply(self):
        line = self.lines.readline()
        if not line:
            raise ConnectionError("Redis has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            return self.lines.read(int(rest) + 2)[:-2].decode()
        if kind == b":":
            return int(rest)
        raise RuntimeError(f"redis: {line!r}")


def invoice(number: int) -> dict:
    """What the order costs: the sum of its first `number` items."""
    return {"items": number, "cents": sum(199 + 10 * item for item in range(number))}


def work(redis: Redis) -> None:
    while True:
        _, job = redis.command("BRPOP", "jobs", "0")
        number = json.loads(job)["number"]
        redis.command("LPUSH", f"invoice:{number}", json.dumps(invoice(number)))
        print(f"worker: order {number} is priced", flush=True)


if __name__ == "__main__":
    try:
        redis = Redis()
        print(f"worker: waits for jobs of {HOST}", flush=True)
        work(redis)
    except ConnectionError as error:
        # There is no work without a queue. The next Redis comes with the next worker.
        print(f"worker: ends: {error}", flush=True)
