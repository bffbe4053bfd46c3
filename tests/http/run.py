"""Runs the black-box tests and prints "N passed, N failed, N skipped" last.

Without --one the test files run side by side, each in a process and with an instance of its own;
most of their time is waiting for meetings to play.
"""

import concurrent.futures
import importlib
import os
import re
import subprocess
import sys
import time
import unittest

# The long ones begin first; the last three are left out of ./check quick.
LONGEST = ["test_kills", "test_meeting", "test_soak", "test_transports", "test_clients"]
NOT_QUICK = LONGEST[2:]

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import harness  # noqa: E402


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.passed = self.bad = self.left_out = 0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def line(self, word, test, more=""):
        name = test.id()
        print("%-8s%s (%.1f s)%s" % (word, name, time.monotonic() - getattr(self, "began", time.monotonic()), more),
              flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self.line("ok", test)

    def fail(self, test, err):
        self.bad += 1
        self.line("FAILED", test)
        print(self._exc_info_to_string(err, test), flush=True)

    def addFailure(self, test, err):
        self.fail(test, err)

    def addError(self, test, err):
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.fail(subtest, err)

    def addSkip(self, test, reason):
        self.left_out += 1
        self.line("skipped", test, " " + reason)


def run_one(names):
    result = Result()
    for name in names:
        module, _, rest = name.partition(".")
        loader = unittest.defaultTestLoader
        mod = importlib.import_module(os.path.basename(module))
        suite = loader.loadTestsFromName(rest, mod) if rest else loader.loadTestsFromModule(mod)
        suite.run(result)
    for report in harness.drop_shared():
        result.bad += 1
        print("FAILED  sanitizer report in %s" % report, flush=True)
    return result.passed, result.bad, result.left_out


def run_file(name):
    """A file in a process of its own: its output and its counts."""
    out = subprocess.run([sys.executable, os.path.abspath(__file__), "--one", name], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    lines = out.stdout.splitlines()
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", lines[-1]) if lines else None
    if not counts:
        return out.stdout + "\nFAILED  %s ended without a count (exit %d)" % (name, out.returncode), (0, 1, 0)
    return "\n".join(lines[:-1]), tuple(int(n) for n in counts.groups())


def main():
    args = sys.argv[1:]
    alone = args[:1] == ["--one"]
    names = [n.removesuffix(".py") for n in args[1 if alone else 0:]]
    if not names:
        files = sorted(f[:-3] for f in os.listdir(HERE) if f.startswith("test_") and f.endswith(".py"))
        names = [n for n in LONGEST if n in files] + [n for n in files if n not in LONGEST]
        if harness.MODE == "quick":
            names = [n for n in names if n not in NOT_QUICK]
    if alone:
        total = run_one(names)
    else:
        total = (0, 0, 0)
        with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
            for done in concurrent.futures.as_completed([pool.submit(run_file, n) for n in names]):
                text, counts = done.result()
                print(text, flush=True)
                total = tuple(a + b for a, b in zip(total, counts))
    print("%d passed, %d failed, %d skipped" % total, flush=True)
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    main()
