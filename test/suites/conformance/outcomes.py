"""Runs tests of CPython's own suite and writes down how each one ended, one JSON line per test, as it ends.

  outcomes.py OUTPUT MODULE [--resource NAME]... [--leave-out PATTERN]... [--only TEST_ID]...

MODULE is named as regrtest does it (test_socket).

Tests that OUTPUT already has are not run again: after a test that crashed or hung the interpreter, the same command goes
on behind it. That is what regrtest cannot do. Resources are off as they are there, so nothing asks the Internet.
"""
import argparse
import faulthandler
import fnmatch
import json
import os
import sys
import tempfile
import time
import unittest

from test import support

# A test that takes longer than this hangs. Its stack is printed, and the process ends.
LIMIT = float(os.environ.get("OUTCOMES_LIMIT", "120"))


class Outcomes(unittest.TestResult):
    def __init__(self, output):
        super().__init__()
        self.output = output
        self.outcome = None
        self.began = 0.0

    def write(self, test, outcome, detail="", began=None):
        seconds = round(time.monotonic() - (self.began if began is None else began), 3)
        line = {"id": test.id(), "outcome": outcome, "seconds": seconds, "detail": detail}
        self.output.write(json.dumps(line) + "\n")
        self.output.flush()

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        self.outcome, self.detail, self.began = None, "", time.monotonic()
        self.write(test, "started")

    def end(self, outcome, detail=""):
        # The worst one counts, where subtests end differently.
        order = ["ok", "skip", "expected failure", "unexpected success", "fail", "error"]
        if self.outcome is None or order.index(outcome) > order.index(self.outcome):
            self.outcome, self.detail = outcome, detail

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        self.write(test, self.outcome or "ok", self.detail)
        self.outcome = None
        super().stopTest(test)

    def outside(self, test, outcome, detail):
        """Fixtures of classes and modules report without a test having started."""
        if isinstance(test, unittest.TestCase):
            self.end(outcome, detail)
        else:
            self.write(test, outcome, detail, began=time.monotonic())

    def addSuccess(self, test):
        self.end("ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outside(test, "skip", reason)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.outside(test, "fail", self.failures[-1][1])

    def addError(self, test, error):
        super().addError(test, error)
        self.outside(test, "error", self.errors[-1][1])

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            failed = issubclass(error[0], test.failureException)
            self.end("fail" if failed else "error", (self.failures if failed else self.errors)[-1][1])

    def addExpectedFailure(self, test, error):
        self.end("expected failure")

    def addUnexpectedSuccess(self, test):
        self.end("unexpected success")


def tests_of(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from tests_of(item)
        else:
            yield item


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("module")
    parser.add_argument("--resource", action="append", default=[])
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    name = "test." + options.module
    support.use_resources = options.resource
    support.verbose = False
    faulthandler.enable()

    with open(options.output, "a+") as file:
        file.seek(0)
        done = {json.loads(line).get("id") for line in file}

        def wanted(test):
            if test.id() in done or options.only and test.id() not in options.only:
                return False
            return not any(fnmatch.fnmatchcase(test.id(), pattern) for pattern in options.leave_out)

        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                # Nothing else may hold the tests: what they keep would slow down every garbage collection after them.
                suite = unittest.TestSuite(filter(wanted, tests_of(unittest.defaultTestLoader.loadTestsFromName(name))))
                suite.run(Outcomes(file))
            except unittest.SkipTest as error:
                file.write(json.dumps({"id": name, "outcome": "skip", "seconds": 0, "detail": str(error)}) + "\n")
            os.chdir("/")
        support.reap_children()
        file.write(json.dumps({"end": True}) + "\n")


if __name__ == "__main__":
    main()
