#!/usr/bin/env python3
"""make bench-streams: what an event stream costs, beside nchan, see docs/benchmarks.md.

Ours: the bot's ingest route, committed to disk, then nginx and the responder. nchan: its publisher
location, messages in memory only. Both behind an nginx with two workers, made anew for every run;
runs alternate. The exit status is 1 only when something did not work: an event that was lost, came
twice or out of order. An aim that was missed is said, and is no failure.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
sys.dont_write_bytecode = True

import harness  # noqa: E402

NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"
WORKERS = 2
SETTLE = 1.0
# streams: (messages, seconds between them); a fan-out is over before the next begins
PACE = {100: (60, 0.03), 1000: (40, 0.1), 5000: (25, 0.4), 9000: (15, 0.8)}
STALL_STREAMS, STALLED, STALL_WARM, STALL_MESSAGES, STALL_BYTES = 20, 5, 2000, 8000, 2000
BOT = """#!/bin/sh
d=$(dirname "$0")
printf '%s' "$VEXA_BOT_CONFIG" >"$d/bot.new"
mv "$d/bot.new" "$d/bot.json"
while [ -e "$d/bot.json" ]; do sleep 0.2; done
"""
NCHAN_CONF = """
load_module {module};
daemon off;
{user}
worker_processes {workers};
worker_rlimit_nofile 65536;
pid "{dir}/nginx.pid";
error_log "{dir}/error.log" warn;
events {{ worker_connections 20000; }}
http {{
    client_body_temp_path "{dir}/body";
    proxy_temp_path "{dir}/proxy";
    fastcgi_temp_path "{dir}/fastcgi";
    uwsgi_temp_path "{dir}/uwsgi";
    scgi_temp_path "{dir}/scgi";
    access_log "{dir}/access.log" combined buffer=32k flush=1s;
    tcp_nodelay on;
    keepalive_requests 100000;
    client_max_body_size 32m;
    nchan_shared_memory_size 512m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /pub {{ nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 100;
                           nchan_message_timeout 60s; }}
        location = /sub {{ nchan_subscriber eventsource; nchan_channel_id bench;
                           nchan_subscriber_first_message newest; nchan_eventsource_ping_interval 15s; }}
    }}
}}
"""


class Fault(Exception):
    """Something did not work."""


def wait_for(what, test, seconds=20):
    until = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > until:
            raise Fault("%s did not come within %d s" % (what, seconds))
        time.sleep(0.02)


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def pss(pids):
    """KiB"""
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


def cpu(pids):
    """Seconds on a processor of all threads, as the scheduler counts (utime and stime count in 10 ms)."""
    total = 0
    for pid in pids:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
                total += int(f.read().split()[0])
    return total / 1e9


class Ours:
    name = "vexa"

    def __init__(self):
        self.inst = harness.Instance(start=False)
        script = os.path.join(self.inst.tmp, "bot.sh")
        with open(script, "w") as f:
            f.write(BOT)
        os.chmod(script, 0o700)
        self.inst.config = {"bots.google_meet": script, "log.level": "warn"}
        self.inst.start()
        row = self.inst.send_bot("ben-chst-ream")
        path = os.path.join(self.inst.tmp, "bot.json")
        wait_for("the bot", lambda: os.path.exists(path))
        with open(path) as f:
            self.bot = json.load(f)
        self.port = self.inst.port
        self.path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d&replay=0" % (row["id"], row["id"])
        self.headers = ["X-API-Key: " + self.inst.key]
        self.app = [self.inst.pid("fcgi")]
        self.nginx = [self.inst.pid("nginx")] + children(self.inst.pid("nginx"))
        self.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.sent = 0
        for status in ("joining", "active"):
            self.post(self.bot["meetingApiCallbackUrl"], {"connection_id": self.bot["connectionId"], "status": status})

    def post(self, url, body):
        self.conn.request("POST", url[url.index("/", 8):], body=json.dumps(body), headers={
            "Content-Type": "application/json", "X-Meeting-Token": self.bot["token"]})
        r = self.conn.getresponse()
        text = r.read()
        if r.status != 200:
            raise Fault("publish: %d %r" % (r.status, text))

    def publish(self, texts):
        segments = []
        for text in texts:
            self.sent += 1
            segments.append({"segment_id": "bench:%d" % self.sent, "speaker": "Ada", "text": text, "start": 1.5,
                             "end": 2, "completed": True, "language": "en"})
        self.post(self.bot["transcriptIngestUrl"],
                  {"type": "transcription", "meeting_id": self.bot["meeting_id"], "segments": segments})

    def stop(self):
        self.conn.close()
        reports = self.inst.remove()
        if reports:
            raise Fault(reports[0])


class Nchan:
    name = "nchan"
    headers = []
    app = []

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="vexa-bench-")
        self.port = harness.free_port()
        self.path = "/sub"
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w") as f:
            f.write(NCHAN_CONF.format(module=NCHAN_MODULE, dir=self.dir, port=self.port, workers=WORKERS,
                                      user="user root;" if os.getuid() == 0 else ""))
        self.process = subprocess.Popen(
            ["nginx", "-p", self.dir, "-c", conf, "-e", os.path.join(self.dir, "error.log")],
            stdin=subprocess.DEVNULL, env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        self.conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.sent = 0
        wait_for("nchan", self.answers)
        self.nginx = [self.process.pid] + children(self.process.pid)

    def answers(self):
        if self.process.poll() is not None:
            raise Fault("nginx with nchan ended, see above")
        try:
            self.publish(["hello"])
            return True
        except OSError:
            self.conn.close()
            return False

    def publish(self, texts):
        """The same frame as ours, byte for byte but the numbers."""
        for text in texts:
            self.sent += 1
            self.conn.request("POST", "/pub", body=json.dumps({
                "type": "transcript", "speaker": "Ada", "text": text, "t": 1.5, "tsMs": 1767225600000 + self.sent,
                "completed": True, "id": "bench:%d" % self.sent}, separators=(",", ":")))
            r = self.conn.getresponse()
            r.read()
            if r.status not in (200, 201, 202):
                raise Fault("nchan publish: %d" % r.status)

    def stop(self):
        self.conn.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Streams:
    """The C client."""

    def __init__(self, program, server, n):
        self.n = n
        self.process = subprocess.Popen([program, str(server.port), server.path, str(n)] + list(server.headers),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        began = time.monotonic()
        if self.process.stdout.readline().strip() != "open %d" % n:
            raise Fault("the %d streams of %s could not be opened" % (n, server.name))
        self.seconds = time.monotonic() - began

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        words = self.process.stdout.readline().split()
        if not words:
            raise Fault("the stream client ended")
        return {k: int(v) for k, v in (w.split("=") for w in words[1:])}

    def wait_frames(self, wanted, seconds):
        until = time.monotonic() + seconds
        while True:
            s = self.ask("status")
            if s["frames"] >= wanted or time.monotonic() > until:
                return s
            time.sleep(0.1)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def mark(number, size=60):
    text = "@%d:%d@ " % (time.monotonic_ns(), number)
    return text + "x" * (size - len(text))


def check(server, status, n, messages):
    """The delivered ratio; a Fault when events were lost, repeated or disordered."""
    if status["frames"] != n * messages or status["bad"] or status["open"] != n:
        raise Fault("%s with %d streams: %d of %d frames came, %d not in their order, %d streams still open" % (
            server.name, n, status["frames"], n * messages, status["bad"], status["open"]))
    return status["frames"] / (n * messages)


def fan_out(program, make, n):
    """One run: numbers of one server with n streams."""
    messages, pause = PACE.get(n) or (20, n / 12000)
    server = make()
    streams = None
    try:
        server.publish(["warm up"])
        time.sleep(SETTLE)
        base_app, base_nginx = pss(server.app), pss(server.nginx)
        streams = Streams(program, server, n)
        time.sleep(SETTLE)
        out = {"open_s": streams.seconds,
               "app_kib": (pss(server.app) - base_app) / n, "nginx_kib": (pss(server.nginx) - base_nginx) / n}
        trips = []
        cpu_app, cpu_nginx = cpu(server.app), cpu(server.nginx)
        due = time.monotonic()
        for i in range(1, messages + 1):
            time.sleep(max(0, due - time.monotonic()))
            due = time.monotonic() + pause
            began = time.monotonic()
            server.publish([mark(i)])
            trips.append(time.monotonic() - began)
        status = streams.wait_frames(n * messages, 20)
        out["delivered"] = check(server, status, n, messages)
        took = streams.ask("latency")
        out.update(p50=took["p50"] / 1000, p99=took["p99"] / 1000, trip=statistics.median(trips) * 1000,
                   app_us=(cpu(server.app) - cpu_app) / status["frames"] * 1e6,
                   nginx_us=(cpu(server.nginx) - cpu_nginx) / status["frames"] * 1e6)
        time.sleep(SETTLE)
        out["used_kib"] = (pss(server.app) + pss(server.nginx) - base_app - base_nginx) / n
        return out
    finally:
        if streams:
            streams.close()
        server.stop()


def stalled(program, make):
    """5 of 20 clients never read while much is published: growth of memory, and what they get later."""
    server = make()
    streams = None
    try:
        streams = Streams(program, server, STALL_STREAMS)
        # everybody reads at first: caches fill whether somebody stalls or not
        for first in range(1, STALL_WARM + 1, 50):
            server.publish([mark(i, STALL_BYTES) for i in range(first, first + 50)])
        streams.wait_frames(STALL_STREAMS * STALL_WARM, 60)
        streams.tell("stall %d" % STALLED)
        time.sleep(SETTLE)
        base_app, base_nginx = pss(server.app), pss(server.nginx)
        reading = STALL_STREAMS - STALLED
        peak_app = peak_nginx = 0
        began = time.monotonic()
        for first in range(STALL_WARM + 1, STALL_WARM + STALL_MESSAGES + 1, 50):
            server.publish([mark(i, STALL_BYTES) for i in range(first, first + 50)])
            if first // 50 % 10 == 0:
                peak_app, peak_nginx = max(peak_app, pss(server.app)), max(peak_nginx, pss(server.nginx))
        wanted = STALL_STREAMS * STALL_WARM + reading * STALL_MESSAGES
        status = streams.wait_frames(wanted, 60)
        seconds = time.monotonic() - began
        peak_app, peak_nginx = max(peak_app, pss(server.app)), max(peak_nginx, pss(server.nginx))
        if status["frames"] != wanted or status["bad"]:
            raise Fault("%s: %d of %d frames came, %d not in their order" % (
                server.name, status["frames"], wanted, status["bad"]))
        streams.tell("read")
        wanted = STALL_STREAMS * (STALL_WARM + STALL_MESSAGES)
        later = streams.wait_frames(wanted, 60)
        return {"app_mib": (peak_app - base_app) / 1024, "nginx_mib": (peak_nginx - base_nginx) / 1024,
                "rate": reading * STALL_MESSAGES / seconds, "whole": later["frames"] == wanted and not later["bad"]}
    finally:
        if streams:
            streams.close()
        server.stop()


def median(runs, key):
    return statistics.median(r[key] for r in runs)


def aim(text, value, limit):
    print("  aim %s: %.2f, %s" % (text, value, "MET" if value <= limit else "MISSED"), flush=True)


def show(name, runs):
    m = {k: median(runs, k) for k in runs[0]}
    p99 = [r["p99"] for r in runs]
    print("  %-6s p50 %6.1f ms  p99 %6.1f ms (%.1f to %.1f)  publish %6.2f ms  delivered %.0f %%" % (
        name, m["p50"], m["p99"], min(p99), max(p99), m["trip"], m["delivered"] * 100))
    print("         memory of a stream: %sweb server %.1f KiB, after use %.1f KiB together"
          % ("responder %.2f KiB, " % m["app_kib"] if name == Ours.name else "", m["nginx_kib"], m["used_kib"]))
    print("         CPU of a delivery: %sweb server %.1f us; opened in %.1f s" % (
        "responder %.1f us, " % m["app_us"] if name == Ours.name else "", m["nginx_us"], m["open_s"]), flush=True)
    return m


def compare(args, n, makers):
    print("%d streams, medians of %d alternating runs" % (n, args.runs), flush=True)
    runs = {make: [] for make in makers}
    for i in range(args.runs):
        for make in (makers if i % 2 == 0 else makers[::-1]):
            runs[make].append(fan_out(args.client, make, n))
            if args.verbose:
                print("    %s %s" % (make.name, {k: round(v, 2) for k, v in runs[make][-1].items()}), flush=True)
    m = {make: show(make.name, runs[make]) for make in makers}
    ours = m[Ours]
    if n >= 1000:
        aim("responder memory of a stream at most 1 KiB", ours["app_kib"], 1)
        aim("responder CPU of a delivery at most 4 us", ours["app_us"], 4)
    if Nchan in m:
        theirs = m[Nchan]
        print("  ratios to nchan: p50 %.2f, p99 %.2f, publish %.3f" % tuple(
            ours[k] / theirs[k] for k in ("p50", "p99", "trip")))
        if n >= 1000:
            aim("p99 at most 1.5 of nchan's", ours["p99"] / theirs["p99"], 1.5)
        if n >= 5000:
            aim("publish at most 0.3 of nchan's", ours["trip"] / theirs["trip"], 0.3)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--vexa", required=True)
    p.add_argument("--client", required=True, help="the program made of stream_clients.c")
    p.add_argument("--runs", type=int, default=7)
    p.add_argument("--n", default="100,1000,5000", help="numbers of streams; 9000 alone is the proof of delivery")
    p.add_argument("--alone", action="store_true", help="without nchan")
    p.add_argument("--no-stalled", action="store_true")
    p.add_argument("--verbose", action="store_true")
    args = p.parse_args()
    args.client = os.path.abspath(args.client)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench-streams: ended"))  # and clean up
    os.environ["VEXA_BINARY"] = os.path.abspath(args.vexa)
    if subprocess.run(["bash", "-c", ". tools/packages.sh && packages_install $packages_run"], cwd=TOP).returncode:
        sys.exit("bench-streams: packages could not be installed")
    if not args.alone and not os.path.exists(NCHAN_MODULE):
        subprocess.run(["bash", "-c", ". tools/packages.sh && packages_install $packages_bench_streams"], cwd=TOP)
    makers = [Ours]
    if not args.alone and os.path.exists(NCHAN_MODULE):
        makers.append(Nchan)
    else:
        print("nchan is not compared (%s)" % ("--alone" if args.alone else "libnginx-mod-nchan is not installed"))
    try:
        for n in (int(x) for x in args.n.split(",")):
            compare(args, n, makers)
        if not args.no_stalled:
            print("%d of %d clients never read, %d messages of %d bytes as fast as they are taken" % (
                STALLED, STALL_STREAMS, STALL_MESSAGES, STALL_BYTES), flush=True)
            for make in makers:
                s = stalled(args.client, make)
                print("  %-6s memory grew by: %sweb server %.1f MiB; %.0f deliveries/s; the %d got everything when "
                      "they read again: %s" % (make.name, "responder %.1f MiB, " % s["app_mib"] if make is Ours else "",
                                               s["nginx_mib"], s["rate"], STALLED, "yes" if s["whole"] else "no"))
                if make is Ours:
                    aim("growth at most 2 MiB together", s["app_mib"] + s["nginx_mib"], 2)
                    if not s["whole"]:
                        raise Fault("clients that read again did not get everything")
    except (Fault, OSError, RuntimeError, http.client.HTTPException, subprocess.SubprocessError) as e:
        sys.exit("bench-streams: FAILED: %s" % e)


if __name__ == "__main__":
    main()
