"""60 bodies come back from the backends in turn, through haproxy's HTTP and through its TCP."""
import collections
import hashlib
import urllib.request


def ask(url, number):
    body = hashlib.shake_128(str(number).encode()).digest(10_000 * (number + 1))
    with urllib.request.urlopen(urllib.request.Request(url, body, method="POST")) as answer:
        assert answer.read() == body, number
        return answer.headers["Backend"]


for url in ["http://lb/", "http://lb:81/"]:
    seen = collections.Counter(ask(url, number) for number in range(30))
    assert seen == {"back-a": 10, "back-b": 10, "back-c": 10}, seen
    print(url, dict(seen))
assert ask("http://lb/checked", 1) == "checked"
