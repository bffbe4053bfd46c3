#!/usr/bin/env python3
"""make bench: what vexa costs beside a bare libfcgi program, see docs/benchmarks.md.

Everything runs on this machine behind one nginx, in a folder that is removed afterwards. The exit
status is 1 only when something did not work; an aim that was missed is said, and is no failure.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from clients import Crowd

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATH = "/auth/me"
BARE_PATH = "/bench/bare"
CONNECTIONS = 32
IDLE_SECONDS = 10
RATIO_AIM = 1.0
MEMORY_AIM_MB = 20
CROWD_LIMIT_SECONDS = 120


class Fault(Exception):
    """Something did not work."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, api_key):
    """(status, body)"""
    request = urllib.request.Request(url, headers={"X-API-Key": api_key})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def wait_for(what, test, seconds=10):
    until = time.monotonic() + seconds
    while not test():
        if time.monotonic() > until:
            raise Fault("%s did not come within %d s" % (what, seconds))
        time.sleep(0.05)


def memory_mb(pid, kind="Pss"):
    """Pss: what the process has alone, and its part of what several map. Rss counts that whole."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        for line in f:
            if line.startswith(kind + ":"):
                return int(line.split()[1]) / 1024
    raise Fault("the kernel tells no %s of process %d" % (kind, pid))


def sockets_of(pid):
    n = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            n += os.readlink("/proc/%d/fd/%s" % (pid, fd)).startswith("socket:")
        except OSError:
            pass  # closed meanwhile
    return n


class Instance:
    """A vexa instance made by ./quickstart, whose nginx also serves the bare program."""

    def __init__(self, folder, vexa, bare):
        self.dir = os.path.join(folder, "instance")
        self.vexa, self.bare_program = vexa, bare
        self.bare_socket = os.path.join(folder, "bare.sock")
        self.bare = None
        self.env = dict(os.environ, VEXA_BINARY=vexa)
        self.port = free_port()

    def start(self):
        done = subprocess.run(
            [os.path.join(TOP, "quickstart"), "--detach", "--no-demo", "--no-install",
             "--dir", self.dir, "--port", str(self.port)],
            env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Fault("./quickstart failed: %s" % done.stderr.strip())
        facts = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
        self.url, self.api_key = facts["base_url"], facts["api_key"]
        self.threads = int(self.config("server.threads"))
        with open(os.path.join(self.dir, "pids")) as f:
            self.pids = {line.split()[0]: int(line.split()[1]) for line in f}

    def config(self, key):
        return subprocess.run([self.vexa, "config", "show", key, "--dir", self.dir], check=True,
                              capture_output=True, text=True).stdout.strip()

    def start_bare(self, body_bytes):
        """The bare program, and a second location for it in nginx: vexa's own with keep_conn off."""
        self.bare = subprocess.Popen(
            [self.bare_program, self.bare_socket, str(self.threads), str(body_bytes)],
            stdin=subprocess.DEVNULL)
        wait_for("the bare program's socket", lambda: os.path.exists(self.bare_socket))
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf) as f:
            text = f.read()
        found = re.search(r"\n( *)location / \{\n.*?\n\1\}\n", text, re.S)
        if not found:
            raise Fault("no 'location /' in %s" % conf)
        block = found.group(0)
        for old, new in (("location / {", "location = %s {" % BARE_PATH),
                         ("fastcgi_pass vexa;", "fastcgi_pass unix:%s;" % self.bare_socket),
                         ("fastcgi_keep_conn on;", "fastcgi_keep_conn off;")):
            if block.count(old) != 1:
                raise Fault("'%s' is not in location / of %s" % (old, conf))
            block = block.replace(old, new)
        with open(conf, "w") as f:
            f.write(text.replace(found.group(0), found.group(0) + block))
        os.kill(self.pids["nginx"], signal.SIGHUP)
        # the old nginx workers may still accept for a moment: a row of answers on new connections
        wait_for("the bare program's answer", lambda: all(
            fetch(self.url + BARE_PATH, self.api_key)[0] == 200 for _ in range(20)))

    def stop(self):
        subprocess.run([os.path.join(TOP, "quickstart"), "--stop", "--dir", self.dir], env=self.env,
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        if self.bare:
            self.bare.kill()
            self.bare.wait()


class Wrk:
    def __init__(self, folder, instance, seconds):
        self.instance, self.seconds = instance, seconds
        self.script = os.path.join(folder, "headers.lua")  # not on the command line: all can read it
        with open(self.script, "w") as f:
            f.write('wrk.headers["X-API-Key"] = "%s"\n' % instance.api_key)

    def rate(self, path, seconds=None):
        """Requests a second; a Fault when any of them failed."""
        done = subprocess.run(
            ["wrk", "-t2", "-c%d" % CONNECTIONS, "-d%ds" % (seconds or self.seconds), "-s", self.script,
             self.instance.url + path], capture_output=True, text=True)
        bad = re.search(r"(Non-2xx.*|Socket errors.*)", done.stdout)
        rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
        if done.returncode or bad or not rate or float(rate.group(1)) == 0:
            raise Fault("wrk on %s: %s" % (path, bad.group(1) if bad else done.stdout + done.stderr))
        return float(rate.group(1))


def aim(text, met):
    print("  aim %s: %s" % (text, "MET" if met else "MISSED"), flush=True)


def idle_memory(instance):
    print("Idle memory (Pss), %d s after the instance was ready" % IDLE_SECONDS, flush=True)
    time.sleep(IDLE_SECONDS)
    responder, runner = (memory_mb(instance.pids[name]) for name in ("fcgi", "runner"))
    print("  responder %.1f MB + runner %.1f MB = %.1f MB (beside them the supervisor %.1f MB)"
          % (responder, runner, responder + runner, memory_mb(instance.pids["up"])))
    print("  with everything shared counted in full (Rss): %.1f MB + %.1f MB"
          % tuple(memory_mb(instance.pids[name], "Rss") for name in ("fcgi", "runner")))
    aim("< %d MB" % MEMORY_AIM_MB, responder + runner < MEMORY_AIM_MB)


def throughput(instance, wrk, pairs, body_bytes):
    print("GET %s, and a bare libfcgi program with %d threads and %d bytes, behind the same nginx"
          % (PATH, instance.threads, body_bytes), flush=True)
    wrk.rate(PATH, 1)
    wrk.rate(BARE_PATH, 1)
    ratios = []
    for i in range(pairs):
        order = (PATH, BARE_PATH) if i % 2 == 0 else (BARE_PATH, PATH)
        rates = {path: wrk.rate(path) for path in order}
        ratios.append(rates[PATH] / rates[BARE_PATH])
        print("  pair %d: %8.0f req/s to %8.0f req/s = %.2f"
              % (i + 1, rates[PATH], rates[BARE_PATH], ratios[-1]), flush=True)
    median = statistics.median(ratios)
    print("  median ratio %.2f (%.2f to %.2f)" % (median, min(ratios), max(ratios)))
    aim("ratio >= %.1f" % RATIO_AIM, median >= RATIO_AIM)


def crowd(instance, clients, requests, body):
    print("%d clients, each %d answers on one kept connection" % (clients, requests), flush=True)
    held = []
    c = Crowd(instance.port, PATH, instance.api_key, body, clients, requests)
    c.on_half = lambda: held.append(sockets_of(instance.pids["fcgi"]) - 1)  # one is the listener
    c.run(CROWD_LIMIT_SECONDS)
    counts = [x.answers for x in c.clients]
    print("  answers per client: min %d, max %d, all with their own id and body; %.0f answers/s"
          % (min(counts), max(counts), sum(counts) / c.seconds))
    faults = [x for x in c.clients if x.fault]
    if faults:
        for x in faults[:5]:
            print("  client %d: %s" % (x.number, x.fault))
        raise Fault("%d of %d clients did not get their answers" % (len(faults), clients))
    print("  when the first client had its %d, the slowest had %d; slowest answer of all %.0f ms"
          % (requests, min(c.when_first_done), max(x.slowest for x in c.clients) * 1000))
    print("  connections nginx held to the responder: %d, for %d worker threads"
          % (held[0], instance.threads))
    print("  every client got its answers: yes", flush=True)


def measure(folder, args):
    instance = Instance(folder, os.path.abspath(args.vexa), os.path.abspath(args.bare))
    try:
        instance.start()
        status, body = fetch(instance.url + PATH, instance.api_key)
        if status != 200:
            raise Fault("GET %s answers %d %r" % (PATH, status, body))
        idle_memory(instance)
        instance.start_bare(len(body))
        throughput(instance, Wrk(folder, instance, args.seconds), args.pairs, len(body))
        crowd(instance, args.clients, args.requests, body)
        print("Memory after all that: responder %.1f MB + runner %.1f MB"
              % (memory_mb(instance.pids["fcgi"]), memory_mb(instance.pids["runner"])))
    finally:
        instance.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--vexa", required=True)
    p.add_argument("--bare", required=True)
    p.add_argument("--pairs", type=int, default=5)
    p.add_argument("--seconds", type=int, default=3, help="of each wrk run")
    p.add_argument("--clients", type=int, default=200)
    p.add_argument("--requests", type=int, default=100, help="answers every client must get")
    args = p.parse_args()
    if subprocess.run(["bash", "-c", ". tools/packages.sh && packages_install $packages_run $packages_bench"],
                      cwd=TOP).returncode:
        sys.exit("bench: packages could not be installed")
    folder = tempfile.mkdtemp(prefix="vexa-bench-")
    try:
        measure(folder, args)
    except (Fault, OSError, subprocess.SubprocessError) as e:
        sys.exit("bench: FAILED: %s" % e)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
