"""iperf3's own report says how many bytes were sent and received, and between which addresses."""
import json
import socket
import subprocess
import time

BYTES = 64 << 20


def report_of(options):
    command = ["iperf3", "--client", "server", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def run(*options):
    code, report = report_of(options)
    # After a test the server closes its listener and makes another one: who comes too soon is turned away, as natively.
    soon = time.monotonic() + 30
    while after_another and time.monotonic() < soon and not report["start"]["connected"] and "error" in report:
        code, report = report_of(options)
    assert code == 0 and "error" not in report, (options, report.get("error"))
    for connection in report["start"]["connected"]:
        assert connection["local_host"] == socket.gethostbyname("client"), connection
        assert connection["remote_host"] == socket.gethostbyname("server"), connection
        assert connection["remote_port"] == 5201, connection
    return report["end"]


after_another = False
for options in [[], ["--reverse"], ["--parallel", "4"], ["--parallel", "4", "--reverse"], ["--zerocopy"]]:
    end = run("--bytes", str(BYTES), *options)
    sent, received = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
    # Who receives by iperf3's count ends the run; a server is told on the control connection, which may overtake the data.
    least = BYTES if "--reverse" in options else BYTES // 8
    assert sent >= BYTES and received >= least, (options, sent, received)
    print(*options, sent, "bytes sent,", received, "received")
    after_another = True
