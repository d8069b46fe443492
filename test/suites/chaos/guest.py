"""What runs in the hosts and as the clients of a chaos run: servers that check what they are sent, and who calls them.

usage: guest.py serve NAME          answers requests at port 7000, and calls other hosts when it is told to
       guest.py call NAME SEED HOST[:redis]...
                                    calls these hosts at random until its standard input ends
       guest.py obey NAME           calls the first host of each line of its standard input, and has it call the second
       guest.py knock NAME HOST COUNT
                                    connects so many times to where the host does not listen
       guest.py each NAME SEED HOST[:redis]...
                                    calls each of these hosts once, and exits with 0 if all answered

Each call is written to standard output, one JSON object a line: when it began, how long it took, how it ended. A call
that takes long is written while it is open, too.

A request is a line of JSON and `size` bytes. The answer is the same with every byte changed, so that nobody's own bytes
pass for an answer.
"""
import contextlib
import errno
import hashlib
import json
import random
import select
import socket
import socketserver
import sys
import threading
import time

PORT = 7000
REDIS = 6379
SHUT = 7001
CHANGED = bytes(byte ^ 0x5A for byte in range(256))
# Seconds after which an open call is written, and then again and again.
LONG = 8
THREADS = 4
# Calls of a host at one time.
MOST_ONWARD = 8

name = sys.argv[2]
writing = threading.Lock()
calls = {}
numbers = iter(range(1, 2**62))
going_on = threading.BoundedSemaphore(MOST_ONWARD)


def say(**record):
    with writing:
        print(json.dumps({"chaos": 1, "by": name, **record}), flush=True)


@contextlib.contextmanager
def call(op, to):
    """Writes how the call ends: `ok`, an errno's name, `eof` or `wrong`."""
    record = {"op": op, "to": to, "at": time.time() * 1000, "id": next(numbers)}
    began = time.monotonic()
    with writing:
        calls[record["id"]] = (record, began)
    end = {}
    try:
        yield
        end = {"end": "ok"}
    except OSError as error:
        end = {"end": errno.errorcode.get(error.errno, str(error))}
        raise
    except EOFError:
        end = {"end": "eof"}
        raise
    except Wrong as wrong:
        end = {"end": "wrong", "why": str(wrong)}
        raise
    finally:
        with writing:
            del calls[record["id"]]
        say(**record, ms=(time.monotonic() - began) * 1000, **end)


class Wrong(Exception):
    pass


def write_open_calls():
    now = time.monotonic()
    with writing:
        late = [(record, began) for record, began in calls.values() if now - began > LONG]
    for record, began in late:
        say(**record, ms=(now - began) * 1000, end="open")


def watch():
    while True:
        time.sleep(LONG / 2)
        write_open_calls()


def exactly(stream, size):
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def header(stream):
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        return json.loads(line)
    except ValueError:
        raise Wrong(f"no line of ours: {line[:80]!r}") from None


def check(payload, head):
    if hashlib.sha256(payload).hexdigest() != head["sum"]:
        raise Wrong(f"{len(payload)} bytes that were not sent")


def message(payload, **head):
    head = {**head, "size": len(payload), "sum": hashlib.sha256(payload).hexdigest()}
    return json.dumps(head).encode() + b"\n" + payload


def connect(to, port, way):
    address = (socket.gethostbyname(to), port)
    with call("connect", to):
        sock = socket.socket()
        try:
            if way == "poll":
                sock.setblocking(False)
                code = sock.connect_ex(address)
                if code == errno.EINPROGRESS:
                    poll = select.poll()
                    poll.register(sock, select.POLLOUT)
                    poll.poll()
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, "connect")
                sock.setblocking(True)
            else:
                sock.connect(address)
            return sock
        except BaseException:
            sock.close()
            raise


def request(sock, stream, to, numbers_at_random, **more):
    payload = numbers_at_random.randbytes(numbers_at_random.choice((16, 1_000, 20_000, 200_000)))
    number = numbers_at_random.getrandbits(48)
    with call("request", to):
        # Both directions at once: neither side waits for a reader that waits for it.
        sender = threading.Thread(target=send, args=(sock, message(payload, number=number, **more)))
        sender.start()
        try:
            head = header(stream)
            answer = exactly(stream, head["size"])
        finally:
            # After an end of what is read, nobody may read what is sent.
            if sys.exc_info()[0] is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            sender.join()
        check(answer, head)
        if head["number"] != number or head["host"] != to:
            raise Wrong(f"the answer of {head['host']} to {head['number']}, not of {to} to {number}")
        if answer.translate(CHANGED) != payload:
            raise Wrong(f"{len(answer)} bytes that were not asked for")


def send(sock, data):
    with contextlib.suppress(OSError):
        sock.sendall(data)


def converse(to, numbers_at_random, onward=None):
    sock = connect(to, PORT, numbers_at_random.choice(("block", "poll")))
    with sock, sock.makefile("rb") as stream:
        for _ in range(numbers_at_random.randint(1, 4)):
            request(sock, stream, to, numbers_at_random, onward=onward)
            # Sometimes long enough for hosts to be idle meanwhile.
            time.sleep(numbers_at_random.choice((0, 0, 0.01, 0.2, 3)))


def redis_command(sock, stream, *words):
    sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    if line[:1] != b"$":
        return line.strip()
    return exactly(stream, int(line[1:]) + 2)[:-2] if int(line[1:]) >= 0 else None


def converse_with_redis(to, numbers_at_random):
    sock = connect(to, REDIS, numbers_at_random.choice(("block", "poll")))
    with sock, sock.makefile("rb") as stream:
        key = b"%s %d" % (name.encode(), numbers_at_random.getrandbits(48))
        value = numbers_at_random.randbytes(numbers_at_random.choice((16, 20_000)))
        for command, expected in (((b"SET", key, value), b"+OK"), ((b"GET", key), value), ((b"DEL", key), b":1")):
            with call("request", to):
                answer = redis_command(sock, stream, *command)
                # Busy with its own start, as it says.
                if answer != expected and not (answer or b"").startswith(b"-LOADING"):
                    raise Wrong(f"{command[0].decode()} was answered with {answer[:40]!r}")


def caller(hosts, numbers_at_random, ended):
    while not ended.is_set():
        to, kind = numbers_at_random.choice(hosts)
        with contextlib.suppress(OSError, EOFError, Wrong):
            if kind == "redis":
                converse_with_redis(to, numbers_at_random)
            else:
                # Every second call has the host call another one.
                others = [host for host, other in hosts if host != to and other != "redis"]
                onward = numbers_at_random.choice([None, numbers_at_random.choice(others)]) if others else None
                converse(to, numbers_at_random, onward)
        ended.wait(numbers_at_random.uniform(0.02, 0.4))


def exchange_once(to, numbers_at_random, errand=None):
    sock = connect(to, PORT, numbers_at_random.choice(("block", "poll")))
    with sock, sock.makefile("rb") as stream:
        request(sock, stream, to, numbers_at_random, errand=errand)


def call_once(to, errand=None):
    with contextlib.suppress(OSError, EOFError, Wrong):
        exchange_once(to, random.Random(), errand)


def knock(to, count):
    for _ in range(count):
        with contextlib.suppress(ConnectionRefusedError), socket.socket() as sock:
            sock.connect((to, SHUT))
            sys.exit(f"{to} listens at {SHUT}")


def answers(to, kind, numbers_at_random):
    try:
        (converse_with_redis if kind == "redis" else exchange_once)(to, numbers_at_random)
        return True
    except (OSError, EOFError, Wrong) as error:
        print(f"{to}: {error!r}", file=sys.stderr)
        return False


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = header(self.rfile)
                payload = exactly(self.rfile, head["size"])
                try:
                    check(payload, head)
                except Wrong as wrong:
                    say(op="serve", to=name, at=time.time() * 1000, ms=0, end="wrong", why=str(wrong))
                    return
                if head.get("onward"):
                    threading.Thread(target=go_on, args=(head["onward"], head["number"]), daemon=True).start()
                if head.get("errand"):
                    # Before the answer: whoever has sent it hears of its failure.
                    exchange_once(head["errand"], random.Random(head["number"]))
                answer = message(payload.translate(CHANGED), host=name, number=head["number"])
                self.connection.sendall(answer)


def go_on(to, number):
    if not going_on.acquire(blocking=False):
        return
    try:
        with contextlib.suppress(OSError, EOFError, Wrong):
            converse(to, random.Random(number))
    finally:
        going_on.release()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


def main():
    threading.Thread(target=watch, daemon=True).start()
    if sys.argv[1] == "serve":
        Server(("0.0.0.0", PORT), Handler).serve_forever()
    if sys.argv[1] == "obey":
        for line in sys.stdin:
            threading.Thread(target=call_once, args=line.split(), daemon=True).start()
        return
    if sys.argv[1] == "knock":
        return knock(sys.argv[3], int(sys.argv[4]))
    seed = sys.argv[3]
    hosts = [(word.split(":") + ["echo"])[:2] for word in sys.argv[4:]]
    if sys.argv[1] == "each":
        failed = [to for to, kind in hosts if not answers(to, kind, random.Random(f"{seed} {to}"))]
        sys.exit(1 if failed else 0)
    ended = threading.Event()
    threads = [
        threading.Thread(target=caller, args=(hosts, random.Random(f"{seed} {i}"), ended)) for i in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()


main()
