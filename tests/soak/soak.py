#!/usr/bin/env python3
"""make soak TIME=seconds: the property test of the event streams, see docs/internals.md.

Meetings are published through the real ingest route by bots that retry until acknowledged, many
clients of different manners follow them, and processes are killed at random, most of them while a
publish is on its way. Every client must have seen a contiguous run of the log, or a gap frame that
covers exactly the hole; every acknowledged publish must be in the log exactly once, in the order of
its segment. Exit status 1 when that was violated.

The seed decides what everybody does; when the machine does it, nobody can repeat exactly.
"""

import argparse
import collections
import faulthandler
import http.client
import json
import os
import random
import select
import signal
import stat
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "http")]
sys.dont_write_bytecode = True

import harness  # noqa: E402
from crowd import Crowd  # noqa: E402
from record import Archive, Ledger  # noqa: E402

RETRY = (429, 502, 503, 504)
VIOLATIONS_MAX = 10
# What is killed, and how often of a hundred. The last two are no kills but must not hurt either.
KINDS = (("responder SIGKILL", 38), ("responder SIGTERM", 14), ("runner SIGKILL", 14),
         ("nginx worker SIGKILL", 14), ("nginx all SIGKILL", 10), ("nginx reload", 5), ("responder SIGHUP", 5))
CUTS = ("responder SIGKILL", "responder SIGTERM", "nginx worker SIGKILL", "nginx all SIGKILL", "nginx reload")
BOT = """#!/bin/sh
# The soak test plays the bot: this one only hands over its invocation and stays until told to go.
d=$(dirname "$0")/bots
printf '%s' "$VEXA_BOT_CONFIG" >"$d/$$.new"
mv "$d/$$.new" "$d/$$.json"
while [ -e "$d/$$.json" ]; do sleep 0.5; done
"""


class Meeting:
    """A meeting as its bot knows it."""

    def __init__(self, world, number, loud):
        self.world, self.loud = world, loud
        self.rng = random.Random("%s/meeting/%d" % (world.seed, number))
        self.native = "soak-%d-%d" % (os.getpid(), number)
        self.ledger = Ledger()
        self.id = None
        self.live = False
        self.stop = False

    def call(self, conn, method, url, body, key=None, before_answer=None):
        """(status, parsed body) or (None, why)."""
        try:
            head = {"Content-Type": "application/json"}
            head.update({"X-API-Key": key} if key else {"X-Meeting-Token": self.config["token"]})
            conn.request(method, url[url.index("/", 8):], body=json.dumps(body), headers=head)
            if before_answer:
                before_answer(conn.sock)
            r = conn.getresponse()
            raw = r.read()
            return r.status, json.loads(raw) if raw else None
        except (OSError, http.client.HTTPException, ValueError) as e:
            conn.close()
            return None, str(e)

    def until_accepted(self, conn, what, method, url, body, fine=(200,), key=None, before_answer=None):
        """Repeats as a bot does; the answer, or None when it was refused or the test gave up."""
        attempts = 0
        began = time.monotonic()
        while True:
            status, answer = self.call(conn, method, url, body, key, before_answer)
            attempts += 1
            if status in fine or (status == 409 and attempts > 1):
                return answer
            if self.world.given_up:
                return None
            if status is not None and status not in RETRY:
                self.world.violation("%s of meeting %s was refused: %d %r" % (what, self.id, status, answer), ())
                return None
            if time.monotonic() - began > 60:
                self.world.violation("%s of meeting %s was not accepted within 60 s: %r" % (what, self.id, answer), ())
                return None
            self.world.retries += 1
            time.sleep(0.02 + 0.1 * self.rng.random())

    def begin(self):
        conn = self.world.connection()
        base = "http://127.0.0.1/"
        if self.until_accepted(conn, "POST /bots", "POST", base + "bots",
                               {"platform": "google_meet", "native_meeting_id": self.native}, (201,),
                               self.world.key) is None:
            return False
        self.config = self.world.wait_bot(self.native)
        if self.config is None:
            self.world.violation("no bot was started for %s within 30 s" % self.native, ())
            return False
        self.id = self.config["meeting_id"]
        self.topic = "meeting/%d" % self.id
        for status in ("joining", "active"):
            self.lifecycle(conn, status)
        conn.close()
        self.live = True
        return True

    def lifecycle(self, conn, status, **more):
        self.until_accepted(conn, status, "POST", self.config["meetingApiCallbackUrl"],
                            dict(connection_id=self.config["connectionId"], status=status, **more))

    def end(self):
        conn = self.world.connection()
        self.live = False
        self.lifecycle(conn, "completed", completion_reason="left_alone", reason="the soak is over", exit_code=0)
        conn.close()
        os.unlink(self.config["file"])

    def publish(self, conn, batch):
        body = {"type": "transcription", "meeting_id": self.id, "session_uid": self.config["connectionId"],
                "segments": [{"segment_id": i, "text": t, "completed": c, "speaker": "A", "start": 1.5, "end": 2}
                             for i, t, c in batch]}
        world = self.world
        world.pending += 1
        answer = self.until_accepted(conn, "publish", "POST", self.config["transcriptIngestUrl"], body,
                                     before_answer=world.strike)
        world.pending -= 1
        if answer is not None:
            self.ledger.acknowledged(batch)

    def text(self, rng, name, version):
        words = "%s version %d: " % (name, version)
        size = rng.choice((40, 80, 200)) if not self.loud else rng.choice((500, 6000, 14000))
        return words + "".join(rng.choice("abcde ÄßΩ\"\\\n<") for _ in range(20)) + "x" * size

    def speak(self, number):
        """One voice: drafts that grow and are confirmed, several segments at once."""
        rng = random.Random("%s/voice/%s/%d" % (self.world.seed, self.native, number))
        conn = self.world.connection()
        drafts, made = {}, 0
        while not self.stop or drafts:
            batch = []
            for _ in range(rng.randint(1, 4)):
                if len(drafts) < 4 and not self.stop:
                    made += 1
                    drafts["%s:v%d:%d" % (self.config["connectionId"], number, made)] = 0
                name = rng.choice(list(drafts)) if drafts else None
                if name is None or any(b[0] == name for b in batch):
                    continue
                drafts[name] += 1
                completed = self.stop or drafts[name] > 3 or rng.random() < 0.4
                batch.append((name, self.text(rng, name, drafts[name]), completed))
                if completed:
                    del drafts[name]
            if batch:
                self.publish(conn, batch)
            if not self.stop:
                time.sleep(rng.expovariate(self.world.rate))
        conn.close()

    def run(self, seconds):
        if not self.begin():
            return
        voices = [threading.Thread(target=self.world.guard, args=(self.speak, i)) for i in range(2)]
        for t in voices:
            t.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.world.ending:
            time.sleep(0.05)
        self.stop = True
        for t in voices:
            t.join()
        self.end()
        self.world.crowd.audit(self)
        self.check()

    def check(self):
        """The ledger against the log, and against what a reader of the transcript gets."""
        world = self.world
        until = time.monotonic() + 20
        while self.topic not in world.archive.ends and time.monotonic() < until:
            time.sleep(0.1)
        if self.topic not in world.archive.ends:
            world.violation("meeting %d has no meeting-end in the log" % self.id, ())
        for line in self.ledger.differences(world.archive.said.get(self.topic, {}))[:3]:
            world.violation("meeting %d: %s" % (self.id, line), ())
        conn = world.connection()
        answer = self.until_accepted(conn, "transcript", "GET", "http://127.0.0.1/transcripts/by-id/%d" % self.id,
                                     None, key=world.key)
        conn.close()
        have = {s["segment_id"]: s["text"] for s in answer["segments"]} if answer else {}
        if have != self.ledger.final:
            wrong = [i for i in set(have) | set(self.ledger.final) if have.get(i) != self.ledger.final.get(i)]
            world.violation("transcript of meeting %d differs from what was acknowledged: %d segments, such as %r"
                            % (self.id, len(wrong), wrong[:3]), ())
        world.checked += 1


class World:
    def __init__(self, args):
        self.args, self.seed = args, args.seed
        self.began = time.monotonic()
        self.rate = args.rate
        self.life = min(90, max(8, args.seconds / 5))
        self.never_seconds = (2, 8) if args.seconds < 120 else (5, 25)
        self.lock = threading.Lock()
        self.violations = []
        self.kills = []          # (time, kind, publishes in flight)
        self.by_kind = collections.Counter()
        self.in_flight = collections.Counter()
        self.pending = self.retries = self.checked = self.batches = 0
        self.ending = self.log_over = self.given_up = False
        self.crowd = None
        self.order = None        # a kill that waits for a publish on its way
        self.meetings = []
        self.nginx = None
        self.inst = harness.Instance(start=False)

    # --- the instance

    def start(self):
        inst = self.inst
        script = os.path.join(inst.tmp, "bot.sh")
        os.mkdir(os.path.join(inst.tmp, "bots"))
        with open(script, "w") as f:
            f.write(BOT)
        os.chmod(script, stat.S_IRWXU)
        inst.config = {"bots.google_meet": script}
        inst.command("init", "--base-url", "http://127.0.0.1:%d" % inst.port)
        self.trims = not self.args.no_trims and self.has_key("retention.events_per_topic")
        if self.trims:
            short = self.args.seconds < 120
            inst.config.update({"retention.events_per_topic": 60 if short else 400,
                                "retention.events_seconds": 8 if short else 30, "retention.sweep_seconds": 1})
        inst.start()
        self.user = inst.new_user(100)
        self.key = inst.new_key(self.user)
        self.port = inst.port
        self.archive = Archive(os.path.join(inst.dir, "vexa.db"))
        self.nginx_pid = inst.pid("nginx")
        self.feed = inst.request("HEAD", "/meetings/stream?topics=user", key=self.key).status == 200

    def has_key(self, name):
        try:
            self.inst.command("config", "show", name)
            return True
        except RuntimeError:
            return False

    def has_poll(self, meeting):
        r = self.inst.get("/agent/meeting/stream?meeting_id=%d&session_uid=%d&wait=1" % (meeting.id, meeting.id),
                          key=self.key)
        return r.status == 200 and r.headers.get("content-type", "").startswith("application/json")

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def wait_bot(self, native):
        folder = os.path.join(self.inst.tmp, "bots")
        until = time.monotonic() + 30
        seen = set()
        while time.monotonic() < until:
            for name in os.listdir(folder):
                if not name.endswith(".json") or name in seen:
                    continue
                seen.add(name)
                try:
                    with open(os.path.join(folder, name)) as f:
                        config = json.load(f)
                except FileNotFoundError:
                    continue
                if config["nativeMeetingId"] == native:
                    config["file"] = os.path.join(folder, name)
                    return config
            time.sleep(0.05)
        return None

    def live_meetings(self):
        return [m for m in self.meetings if m.live]

    # --- violations

    def violation(self, text, history):
        with self.lock:
            self.violations.append(text)
            if len(self.violations) > VIOLATIONS_MAX:
                return
            print("VIOLATION at %.3f (seed %s): %s" % (time.monotonic() - self.began, self.seed, text))
            for line in history:
                print("    " + line)
            for t, kind, n in self.kills[-6:]:
                print("    kill: %.3f %s, %d in flight" % (t - self.began, kind, n))
            sys.stdout.flush()

    def guard(self, fn, *args):
        """A fault of the test itself must not look like success."""
        try:
            fn(*args)
        except Exception:
            if not self.given_up:
                self.violation("the test itself failed:\n" + traceback.format_exc(), ())

    # --- kills

    def killed_between(self, after, before):
        return any(after < t <= before and kind in CUTS for t, kind, _ in self.kills)

    def workers(self):
        try:
            with open("/proc/%d/task/%d/children" % (self.nginx_pid, self.nginx_pid)) as f:
                return [int(p) for p in f.read().split()]
        except OSError:
            return []

    def target(self, kind, rng):
        """(pids, signal)"""
        if kind.startswith("nginx"):
            if kind == "nginx reload":
                return [self.nginx_pid], signal.SIGHUP
            workers = self.workers()
            if kind == "nginx worker SIGKILL":
                return workers and [rng.choice(workers)], signal.SIGKILL
            return [self.nginx_pid] + workers, signal.SIGKILL
        who, name = kind.split(" ")
        pid = self.inst.pid({"responder": "fcgi", "runner": "runner"}[who])
        return pid and [pid], getattr(signal, name)

    def strike(self, sock):
        """Called by a voice between its request and the answer: does the kill that waits, if its
        own publish is not answered yet."""
        if self.order is None:
            return
        with self.lock:
            order, self.order = self.order, None
        if order is None:
            return
        kind, pids, sig, delay, done = order
        time.sleep(delay)
        if select.select([sock], [], [], 0)[0]:
            with self.lock:  # answered too soon: the next one, a little earlier
                self.order = (kind, pids, sig, delay * 0.7, done)
            return
        self.kill(kind, pids, sig, self.pending)
        done.set()

    def kill(self, kind, pids, sig, pending):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        self.kills.append((time.monotonic(), kind, pending))
        self.by_kind[kind] += 1
        if pending:
            self.in_flight[kind] += 1

    def kill_now_and_then(self):
        rng = random.Random("%s/kills" % self.seed)
        names, weights = zip(*KINDS)
        while not self.ending:
            until = time.monotonic() + rng.uniform(*self.args.pause)
            while time.monotonic() < until and not self.ending:
                time.sleep(0.05)
            kind = rng.choices(names, weights)[0]
            delay, tied = rng.uniform(0, 0.004), rng.random() < 0.93
            if kind == "responder SIGHUP" and not self.handles_hup():
                continue
            pids, sig = self.target(kind, rng)
            if self.ending or not pids:
                continue
            done = threading.Event()
            if tied:
                with self.lock:
                    self.order = (kind, pids, sig, delay, done)
                done.wait(3)
                with self.lock:
                    self.order = None
            if not done.is_set():
                if tied:
                    pids, sig = self.target(kind, rng)
                if pids:
                    self.kill(kind, pids, sig, self.pending)
            if pids:
                self.afterwards(kind, pids[0])

    def handles_hup(self):
        try:
            with open("/proc/%d/status" % self.inst.pid("fcgi")) as f:
                masks = [int(line.split()[1], 16) for line in f if line.startswith(("SigCgt:", "SigBlk:"))]
            return any(mask & 1 for mask in masks)
        except (OSError, TypeError):
            return False

    def afterwards(self, kind, old):
        if kind == "nginx all SIGKILL":
            self.start_nginx()
        elif kind in ("responder SIGKILL", "responder SIGTERM", "runner SIGKILL"):
            name = "runner" if kind.startswith("runner") else "fcgi"
            try:
                self.inst.wait_new_pid(name, old, 10)
            except AssertionError:
                self.violation("%s: no new process within 10 s" % kind, ())

    def start_nginx(self):
        """nginx as quickstart starts it; here the test is the one who watches it."""
        d = self.inst.dir
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        if self.nginx is not None:
            self.nginx.wait()
        until = time.monotonic() + 15
        while time.monotonic() < until:
            with open(os.path.join(d, "log", "nginx-out.log"), "a") as out:
                self.nginx = subprocess.Popen(
                    ["nginx", "-p", d, "-c", os.path.join(d, "nginx.conf"), "-e", os.path.join(d, "log", "nginx-error.log")],
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=dict(os.environ, PATH=path))
            self.nginx_pid = self.nginx.pid
            while self.nginx.poll() is None:
                if self.workers():
                    return
                time.sleep(0.01)
            time.sleep(0.1)
        self.violation("nginx could not be started again", ())

    # --- the run

    def play(self, number):
        """One place in the program: a meeting after the other."""
        while not self.ending:
            with self.lock:
                made = len(self.meetings)
                m = Meeting(self, made + 1, loud=number == 0)
                self.meetings.append(m)
            m.run(self.life * m.rng.uniform(0.5, 1.2))
            if m.id is None:
                time.sleep(1)

    def kinds(self, poll):
        n = self.args.clients
        shares = [("normal", 28), ("dropper", 24), ("forgetful", 8), ("slow", 14), ("never", 12)]
        shares += [("merged", 8)] if self.feed else []
        shares += [("poll", 8)] if poll else []
        total = sum(s for _, s in shares)
        out = []
        for kind, share in shares:
            out += [kind] * max(1, round(n * share / total))
        return out

    def read_log(self):
        while not self.log_over:
            self.archive.poll()
            time.sleep(0.2)

    def progress(self, crowd):
        c = crowd
        return "%5.0f s: %d meetings, %d events (%d delivered), %d kills (%d with an event in flight), " \
               "%d resumes (%d across a kill), %d gaps, %d violations" % (
                   time.monotonic() - self.began, len(self.meetings), self.archive.last, c.count_events,
                   len(self.kills), sum(self.in_flight.values()), c.resumes, c.resumes_across, c.count_gaps,
                   len(self.violations))

    def run(self):
        self.start()
        reader = threading.Thread(target=self.guard, args=(self.read_log,))
        reader.start()
        crowd = self.crowd = Crowd(self, [], self.seed)
        stages = [threading.Thread(target=self.guard, args=(self.play, i)) for i in range(self.args.meetings)]
        for t in stages:
            t.start()
        until = time.monotonic() + 30
        while not self.live_meetings() and time.monotonic() < until:
            time.sleep(0.05)
        self.poll = bool(self.live_meetings()) and self.has_poll(self.live_meetings()[0])
        crowd = self.crowd = Crowd(self, self.kinds(self.poll), self.seed)
        print("trims: %s, feed of several topics: %s, long poll: %s; %d clients" % (
            *("yes" if x else "no" for x in (self.trims, self.feed, self.poll)), len(crowd.clients)), flush=True)
        crowd_thread = threading.Thread(target=self.guard, args=(crowd.run,))
        crowd_thread.start()
        killer = threading.Thread(target=self.guard, args=(self.kill_now_and_then,))
        killer.start()
        end = self.began + self.args.seconds
        shown = time.monotonic()
        while time.monotonic() < end and len(self.violations) < VIOLATIONS_MAX:
            time.sleep(0.2)
            if time.monotonic() - shown >= 10 and not self.args.quiet:
                shown = time.monotonic()
                print(self.progress(crowd), flush=True)
        self.ending = True
        killer.join()
        for t in stages:
            t.join()
        time.sleep(0.6)
        crowd.ending = True
        until = time.monotonic() + 30 * harness.SLOW
        while (crowd.unfinished() or crowd.audits) and time.monotonic() < until and crowd_thread.is_alive():
            time.sleep(0.1)
        for c in crowd.unfinished():
            self.violation("%s of %s did not reach the end" % (c.name, " ".join(c.topics) if c.judge else "nothing"), c.history)
        crowd.stopped = True
        crowd_thread.join()
        self.log_over = True
        reader.join()
        if self.archive.holes:
            self.violation("event numbers are missing in the log as it was read: %r" % self.archive.holes[:5], ())
        self.deaths()

    def deaths(self):
        """Processes that died although nobody killed them."""
        try:
            with open(os.path.join(self.inst.dir, "log", "up.log")) as f:
                lines = f.read().splitlines()
        except OSError:
            return
        why = collections.Counter()
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") in ("restart", "crash_loop"):
                why["%s: %s" % (entry.get("process"), entry.get("why"))] += 1
        print("restarts by the supervisor: " + (", ".join("%s %d" % i for i in sorted(why.items())) or "none told"))
        for text in why:
            if any(s in text.lower() for s in ("signal 11", "signal 6", "signal 7", "sigsegv", "sigabrt")):
                self.violation("a process crashed: " + text, ())

    def summary(self):
        c = self.crowd
        print()
        print("seed %s, %.0f s" % (self.seed, time.monotonic() - self.began))
        print("kills: " + ", ".join("%s %d" % i for i in sorted(self.by_kind.items())))
        print("kills with an event in flight: %d of %d (%s)" % (
            sum(self.in_flight.values()), len(self.kills),
            ", ".join("%s %d" % i for i in sorted(self.in_flight.items()))))
        print("meetings: %d, of which %d were followed to their end and compared with the ledger" % (
            len(self.meetings), self.checked))
        print("publishes: %d acknowledged, %d attempts had to be repeated" % (
            sum(m.ledger.batches for m in self.meetings), self.retries))
        print("events: %d in the log, %d delivered; streams followed to their end: %d, and %d auditors" % (
            self.archive.last, c.count_events, c.ends, c.auditors))
        print("resumes: %d, of which %d crossed a kill; and %d long polls" % (c.resumes, c.resumes_across, c.polls))
        print("gaps: %d" % c.count_gaps)
        print("violations: %d" % len(self.violations), flush=True)

    def give_up(self):
        """Lets all threads end, also those that wait for an answer that does not come."""
        self.ending = self.log_over = self.given_up = True
        for m in self.meetings:
            m.stop = True
        if self.crowd is not None:
            self.crowd.ending = self.crowd.stopped = True

    def close(self):
        if self.nginx is not None and self.nginx.poll() is None:
            self.nginx.terminate()
            try:
                self.nginx.wait(10)
            except subprocess.TimeoutExpired:
                self.nginx.kill()
        for report in self.inst.remove():
            self.violation("sanitizer report in " + report, ())


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seconds", type=float, default=300)
    p.add_argument("--seed", default=None)
    p.add_argument("--clients", type=int, default=40)
    p.add_argument("--meetings", type=int, default=4, help="at once")
    p.add_argument("--rate", type=float, default=6, help="publishes a second of each of a meeting's two voices")
    p.add_argument("--pause", type=float, nargs=2, default=(1.5, 5), help="seconds between kills")
    p.add_argument("--no-trims", action="store_true")
    p.add_argument("--quiet", action="store_true")
    args = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and clean up
    faulthandler.register(signal.SIGUSR1)
    os.environ["VEXA_BINARY"] = os.path.abspath(os.environ.get("VEXA_BINARY", "./vexa"))
    if args.seed is None:
        args.seed = str(random.SystemRandom().randrange(1, 1000000))
    print("seed %s" % args.seed, flush=True)
    world = World(args)
    try:
        world.run()
    except Exception:
        world.violation("the test itself failed:\n" + traceback.format_exc(), ())
    finally:
        world.give_up()
        world.close()
    if world.crowd is not None:
        world.summary()
    sys.exit(1 if world.violations else 0)


if __name__ == "__main__":
    main()
