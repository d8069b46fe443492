"""Every visit is counted once, by whichever worker and connection it went; all addresses are virtual ones."""
import json
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

VISITS = 200
address = socket.gethostbyname


def visit(i):
    """Port 80 is one listener for all workers; on port 81 each has its own and the connections are spread over them."""
    port = 80 + i % 2
    got = json.loads(subprocess.check_output(["curl", "-sS", f"http://web:{port}/visit/{i}"]))
    assert got["path"] == f"/visit/{i}", got
    # The API listens on `::`, so it sees virtual addresses in their IPv6 form.
    assert got["remoteAddress"] == f"::ffff:{address('web')}", got
    assert got["localAddress"] == f"::ffff:{address('api')}" and got["localPort"] == 3000, got
    return got["visits"], port, got["worker"]


first = visit(0)
with ThreadPoolExecutor(16) as pool:
    visits = [first, *pool.map(visit, range(1, VISITS))]
assert sorted(count for count, _, _ in visits) == list(range(1, VISITS + 1)), visits
workers = {worker for _, port, worker in visits if port == 81}
assert len(workers) > 1, workers
counted = subprocess.check_output(["redis-cli", "-h", "cache", "GET", "visits"], text=True)
assert counted == f"{VISITS}\n", counted
print(VISITS, "visits by", len(workers), "workers")
