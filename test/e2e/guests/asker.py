"""Keeps a connection to `echo` busy for good, and connects to the hosts that standard input names, each in a thread.

Prints `open` once the first line has come back, `HOST OUTCOME SECONDS` for each connect, `count N` for a line `?` (how many
lines have come back), and `broken WHY` when a line does not come back as it was.
"""
import errno
import socket
import sys
import threading
import time

came_back = 0


def keep():
    global came_back
    try:
        stream = socket.create_connection(("echo", 7000)).makefile("rwb")
        while True:
            sent = b"%d\n" % came_back
            stream.write(sent)
            stream.flush()
            line = stream.readline()
            if line != sent:
                print("broken", repr(line), flush=True)
                return
            came_back += 1
            if came_back == 1:
                print("open", flush=True)
            time.sleep(0.02)
    except OSError as error:
        print("broken", error, flush=True)


def ask(host):
    start = time.monotonic()
    code = socket.socket().connect_ex((host, 7000))
    print(host, errno.errorcode.get(code, "ok"), "%.3f" % (time.monotonic() - start), flush=True)


threading.Thread(target=keep, daemon=True).start()
for line in sys.stdin:
    word = line.strip()
    if word == "?":
        print("count", came_back, flush=True)
    else:
        threading.Thread(target=ask, args=(word,), daemon=True).start()
