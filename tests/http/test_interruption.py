"""Interruptions under load: hand-over between responders, reload, upgrade, nginx reload, limits.

A Load asks and creates all the time over kept connections, and follows a meeting with several streams.
After each interruption nothing may have failed, every acknowledged user is there once, and each
stream has seen exactly the log.
"""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from harness import ASAN, SLOW, Instance, vtt

STREAMS = 6
SECONDS = 600  # of meeting time a recording lasts: at speed 20 half a minute of events


class Load:
    """Clients that never stop. Use as a context; check() after it."""

    def __init__(self, vexa, meeting=None, gets=3, posts=2, streams=STREAMS):
        self.vexa, self.meeting = vexa, meeting
        self.failures, self.emails = [], []
        self.asked = self.resumes = self.torn = 0
        self.seen = [[] for _ in range(streams if meeting else 0)]
        self.armed = [None] * len(self.seen)
        self.ended = [False] * len(self.seen)
        self.asking = gets + posts > 0
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.get, daemon=True) for _ in range(gets)]
        self.threads += [threading.Thread(target=self.post, args=(i,), daemon=True) for i in range(posts)]
        self.threads += [threading.Thread(target=self.follow, args=(i,), daemon=True) for i in range(len(self.seen))]

    def __enter__(self):
        for t in self.threads:
            t.start()
        end = time.monotonic() + 10 * SLOW
        while not all(self.armed) or (self.asking and self.asked < 10):
            assert time.monotonic() < end, "the load did not begin: %r" % self.failures[:3]
            time.sleep(0.02)
        return self

    def __exit__(self, *exc):
        self.stop.set()
        for t in self.threads:
            t.join(20 * SLOW)

    def fail(self, *what):
        with self.lock:
            self.failures.append((round(time.time(), 3),) + what)

    def ask(self, conn, method, path, headers, body=None):
        try:
            conn.request(method, path, body=body, headers=headers)
            r = conn.getresponse()
            data = r.read()
            if r.getheader("Connection") == "close":
                conn.close()
            with self.lock:
                self.asked += 1
            return r.status, data
        except (OSError, http.client.HTTPException) as e:
            conn.close()
            return 0, repr(e).encode()

    def get(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.vexa.port, timeout=20 * SLOW)
        while not self.stop.is_set():
            status, data = self.ask(conn, "GET", "/auth/me", {"X-API-Key": self.vexa.key})
            if status != 200:
                self.fail("GET", status, data[:200])
                time.sleep(0.05)
        conn.close()

    def post(self, i):
        conn = http.client.HTTPConnection("127.0.0.1", self.vexa.port, timeout=20 * SLOW)
        head = {"X-Admin-API-Key": self.vexa.admin, "Content-Type": "application/json"}
        n = 0
        while not self.stop.is_set():
            n += 1
            email = "load-%d-%d-%d@example.com" % (i, n, time.monotonic_ns())
            status, data = self.ask(conn, "POST", "/admin/users", head, json.dumps({"email": email}))
            if status != 201:
                self.fail("POST", status, data[:200])
            else:
                self.emails.append((email, json.loads(data)["id"]))
            time.sleep(0.002)
        conn.close()

    def follow(self, i):
        """One client of the meeting: comes back with its cursor, after what retry: says at most."""
        last = None
        path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.meeting, self.meeting)
        while not self.stop.is_set() and not self.ended[i]:
            head = {"X-API-Key": self.vexa.key}
            if last:
                head["Last-Event-ID"] = last
            conn = http.client.HTTPConnection("127.0.0.1", self.vexa.port, timeout=1)
            clean = False
            try:
                conn.request("GET", path, headers=head)
                r = conn.getresponse()
                if r.status == 204:
                    self.ended[i] = True
                    return
                if r.status != 200:
                    self.fail("stream", r.status, r.read()[:200])
                    time.sleep(0.05)
                    continue
                conn.sock.settimeout(30 * SLOW)
                ident, data = None, None
                while not self.stop.is_set():
                    line = r.readline()
                    if not line:
                        break
                    line = line.decode().rstrip("\r\n")
                    if line.startswith("id:"):
                        ident = line[3:].strip()
                    elif line.startswith("data:"):
                        data = json.loads(line[5:])
                    elif line.startswith("retry:"):
                        clean = True
                    elif line == "":
                        if ident:
                            last = ident
                            self.armed[i] = self.armed[i] or ident
                        if data and data["type"] in ("gap", "reset"):
                            self.fail("stream", i, data)
                        if data and ident:
                            self.seen[i].append(ident)
                        if data and data["type"] == "meeting-end":
                            self.ended[i] = True
                        ident, data = None, None
            except (OSError, http.client.HTTPException) as e:
                if not self.stop.is_set() and not isinstance(e, http.client.IncompleteRead):
                    self.fail("stream", i, repr(e))
            finally:
                conn.close()
            if not self.stop.is_set():
                with self.lock:
                    self.resumes += 1
                    self.torn += not clean and not self.ended[i]
                time.sleep(0.05)

    def check(self, test, torn=0, kept=True):
        """Nothing failed, nothing is lost or double. torn: streams that may end without retry:."""
        test.assertEqual(self.failures[:5], [], "%d of %d failed" % (len(self.failures), self.asked))
        test.assertEqual(len(set(i for _, i in self.emails)), len(self.emails))
        for email, ident in self.emails[-200:]:
            r = self.vexa.as_admin("GET", "/admin/users/email/" + email)
            test.assertEqual((r.status, r.json.get("id")), (200, ident))
        test.assertLessEqual(self.torn, torn)
        for i, seen in enumerate(self.seen):
            log = read_log(self.vexa, self.meeting, self.armed[i], len(seen))
            test.assertEqual(seen, log[:len(seen)], "stream %d" % i)
            test.assertGreater(len(seen), 0)


def read_log(vexa, meeting, after, n):
    """The ids of the first n events behind a cursor, read by a client that nobody interrupts."""
    s = vexa.meeting_stream(meeting, last_id=after)
    ids = []
    for ident, data in s.frames():
        if ident and data:
            ids.append(ident)
        if len(ids) >= n:
            break
    s.close()
    return ids


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def wait_until(what, fn, timeout=10):
    end = time.monotonic() + timeout * SLOW
    while not fn():
        if time.monotonic() > end:
            raise AssertionError("never: " + what)
        time.sleep(0.02)


def record(kind, body=b"", request_id=1):
    return struct.pack(">BBHHBx", 1, kind, request_id, len(body), 0) + body


class Interruption(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="vexa-binary-")
        cls.binary = os.path.join(cls.tmp, "vexa")
        shutil.copy(os.environ["VEXA_BINARY"], cls.binary)
        old = os.environ["VEXA_BINARY"]
        os.environ["VEXA_BINARY"] = cls.binary  # one that can be replaced
        try:
            cls.vexa = Instance(speed=20)
        finally:
            os.environ["VEXA_BINARY"] = old
        cls.original = old
        cls.meetings = 0

    @classmethod
    def tearDownClass(cls):
        reports = cls.vexa.remove()
        shutil.rmtree(cls.tmp, ignore_errors=True)
        if reports:
            raise AssertionError("\n".join(reports))

    def meeting(self):
        """A meeting that says something twenty times a second."""
        vexa = self.vexa
        type(self).meetings += 1
        native = "int-erru-pt%s" % chr(ord("a") + self.meetings)
        vexa.recording("google_meet", native, vtt([(i, i + 0.9, "A", "word %d" % i) for i in range(SECONDS)]))
        key = vexa.key
        row = vexa.send_bot(native, key=key)
        vexa.wait_status(row["id"], "active")
        self.addCleanup(self.end_meeting, native)
        return row["id"]

    def end_meeting(self, native):
        self.vexa.delete("/bots/google_meet/" + native)

    def logged(self, name="fcgi"):
        with open(os.path.join(self.vexa.dir, "log", name + ".log")) as f:
            return [json.loads(l) for l in f if l.startswith("{")]

    def responder(self):
        """Another responder, started by hand."""
        log = open(os.path.join(self.vexa.dir, "log", "fcgi.log"), "a")
        with log:
            return subprocess.Popen([self.binary, "fcgi", "--dir", self.vexa.dir], stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    @contextlib.contextmanager
    def supervisor_asleep(self):
        """Responders of our own for a while; in the end the supervisor's takes over again."""
        up, child = self.vexa.pid("up"), self.vexa.pid("fcgi")
        os.kill(up, signal.SIGSTOP)
        started = []
        try:
            yield started
        finally:
            os.kill(up, signal.SIGCONT)
            wait_until("the supervisor's responder is back",
                       lambda: self.vexa.pid("fcgi") not in [child] + [p.pid for p in started])
            for p in started:
                self.assertEqual(p.wait(30 * SLOW), 0)

    def control(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(5)
        s.connect(self.socket_path() + ".ctl")
        return s

    def socket_path(self):
        return self.vexa.command("config", "show", "server.socket").strip()

    def test_hand_overs(self):
        """Five in a row and one back: no request fails, streams lose and repeat nothing."""
        vexa = self.vexa
        meeting = self.meeting()
        first = vexa.pid("fcgi")
        idle = descriptors(first)
        with Load(vexa, meeting) as load:
            with self.supervisor_asleep() as started:
                before = first
                for _ in range(5):
                    p = self.responder()
                    started.append(p)
                    self.assertNotEqual(vexa.wait_new_pid("fcgi", before), before)
                    before = p.pid
                    time.sleep(0.3 * SLOW)
                for p in started[:-1]:
                    self.assertEqual(p.wait(30 * SLOW), 0)
            time.sleep(0.5)
        load.check(self)
        self.assertGreaterEqual(load.resumes, 5 * STREAMS if not ASAN else 1)
        self.assertFalse(os.path.exists("/proc/%d/exe" % first))
        last = vexa.pid("fcgi")
        wait_until("descriptors go back", lambda: descriptors(last) <= idle + 80)  # nginx keeps up to 64 a worker
        print("         %d requests, %d resumes" % (load.asked, load.resumes))

    def test_two_at_once(self):
        vexa = self.vexa
        with Load(vexa) as load, self.supervisor_asleep() as started:
            for _ in range(2):
                started.append(self.responder())
            wait_until("one of the two is left", lambda: vexa.pid("fcgi") in [p.pid for p in started] and
                       sum(p.poll() is None for p in started) == 1)
        load.check(self)

    def test_control_socket_is_robust(self):
        """Garbage, another version, an answer that never comes, an end after the offer: it serves on."""
        vexa = self.vexa
        pid = vexa.pid("fcgi")
        self.assertEqual(os.stat(self.socket_path() + ".ctl").st_mode & 0o777, 0o600)
        before = descriptors(pid)
        for text in (b"", b"x", b"vexahand", b"y" * 4096, struct.pack("=8sII", b"vexahand", 99, 1),
                     struct.pack("=8sII", b"vexahand", 1, 4), struct.pack("=8sII", b"vexahand", 1, 77)):
            with self.control() as s:
                if text:
                    s.send(text)
                    answer = s.recv(100)
                    if text[8:12] == struct.pack("=I", 99):
                        self.assertEqual(struct.unpack("=8sII", answer), (b"vexahand", 1, 3))
                    else:
                        self.assertEqual(answer, b"")
        with self.control() as s:  # silent
            self.assertEqual(s.recv(100), b"")
        for _ in range(5):
            with self.control() as s:
                s.send(struct.pack("=8sII", b"vexahand", 1, 1))
                _, fds, _, _ = socket.recv_fds(s, 100, 4)
                self.assertEqual(len(fds), 1)
                os.close(fds[0])
        self.assertEqual(vexa.pid("fcgi"), pid)
        self.assertEqual(vexa.get("/auth/me").status, 200)
        wait_until("no descriptor leaks", lambda: descriptors(pid) <= before + 3)

    def test_predecessor_hangs(self):
        """One that does not answer for five seconds loses its place."""
        vexa = self.vexa
        old = vexa.pid("fcgi")
        with self.supervisor_asleep() as started:
            os.kill(old, signal.SIGSTOP)
            p = self.responder()
            started.append(p)
            began = time.monotonic()
            vexa.wait_new_pid("fcgi", old)
            self.assertGreater(time.monotonic() - began, 4)
            # kept connections of nginx still lead to the old one: new ones to us
            os.kill(old, signal.SIGKILL)
            vexa.wait_ready()
            self.assertEqual(vexa.pid("fcgi"), p.pid)
        vexa.wait_ready()

    def test_reload(self):
        """SIGHUP: limits, tokens, level; streams stay; a broken file changes nothing."""
        vexa = self.vexa
        meeting = self.meeting()
        path = os.path.join(vexa.dir, "vexa.conf")
        with open(path) as f:
            original = f.read()
        pid = vexa.pid("fcgi")
        count = lambda event: sum(l["event"] == event for l in self.logged())  # noqa: E731
        try:
            with Load(vexa, meeting) as load:
                for i in range(5):
                    vexa.set_config({"limits.body_bytes": 2000 + i, "server.threads": 5})
                    n = count("reloaded")
                    os.kill(pid, signal.SIGHUP)
                    wait_until("reloaded", lambda: count("reloaded") == n + 1)
                needed = [l for l in self.logged() if l["event"] == "restart_needed"]
                self.assertIn("server.threads", needed[-1]["keys"])
                r = vexa.as_admin("POST", "/admin/users", {"email": "a@example.com", "data": {"x": "y" * 3000}})
                self.assertEqual((r.status, r.json["limit"]), (413, 2004))
                with open(path, "a") as f:
                    f.write("\n[server]\nbogus = 1\n")
                os.kill(pid, signal.SIGHUP)
                wait_until("refused", lambda: count("reload_refused") == 1)
                refused = [l for l in self.logged() if l["event"] == "reload_refused"]
                self.assertIn("server.bogus", refused[-1]["reason"])
                os.kill(vexa.pid("up"), signal.SIGHUP)
                wait_until("refused", lambda: any(l["event"] == "reload_refused" for l in self.logged("up")))
                time.sleep(0.3)
            load.check(self)
            self.assertEqual(load.resumes, 0)
            self.assertEqual(vexa.pid("fcgi"), pid)
        finally:
            with open(path, "w") as f:
                f.write(original)
        vexa.set_config({"server.admin_token": "another-token-0123456789"})
        runner = vexa.pid("runner")
        os.kill(vexa.pid("up"), signal.SIGHUP)
        try:
            wait_until("the new admin token counts", lambda: vexa.request(
                "GET", "/admin/users/1", admin="another-token-0123456789").status == 200)
            self.assertEqual(vexa.as_admin("GET", "/admin/users/1").status, 403)
            vexa.wait_new_pid("runner", runner)
        finally:
            with open(path, "w") as f:
                f.write(original)
            os.kill(pid, signal.SIGHUP)
        wait_until("the old token counts", lambda: vexa.as_admin("GET", "/admin/users/1").status == 200)
        self.assertEqual(vexa.pid("fcgi"), pid)

    def test_upgrade(self):
        """SIGUSR2 to vexa up: the program now on disk, without a failed request; a bad one changes nothing."""
        vexa = self.vexa
        meeting = self.meeting()
        up = vexa.pid("up")
        with Load(vexa, meeting) as load:
            fcgi, runner = vexa.pid("fcgi"), vexa.pid("runner")
            shutil.copy(self.original, self.binary + ".new")
            os.rename(self.binary + ".new", self.binary)
            self.assertIn("(deleted)", os.readlink("/proc/%d/exe" % fcgi))
            os.kill(up, signal.SIGUSR2)
            wait_until("the new runner", lambda: vexa.pid("runner") not in (None, runner))
            wait_until("the old responder left", lambda: not os.path.exists("/proc/%d" % fcgi), 20)
            for name in ("fcgi", "runner"):
                wait_until("new program", lambda: os.readlink("/proc/%d/exe" % vexa.pid(name)) == self.binary)
            fcgi = vexa.pid("fcgi")
            with open(self.binary + ".new", "w") as f:
                f.write("#!/bin/sh\nexit 3\n")
            os.chmod(self.binary + ".new", 0o755)
            os.rename(self.binary + ".new", self.binary)
            runner = vexa.pid("runner")
            os.kill(up, signal.SIGUSR2)
            wait_until("refusal", lambda: any(l["event"] == "upgrade_failed" for l in self.logged("up")))
            shutil.copy(self.original, self.binary + ".new")
            os.rename(self.binary + ".new", self.binary)
            self.assertEqual((vexa.pid("fcgi"), vexa.pid("runner")), (fcgi, runner))
            time.sleep(0.5)
        load.check(self)
        self.assertFalse([l for l in self.logged("up") if l["event"] == "crash_loop"])
        self.assertFalse(any(l["event"] == "restart" and l["process"] == "fcgi" and "code 3" in l["why"]
                             for l in self.logged("up")))

    def test_nginx_reload(self):
        """Streams of the old workers go on until worker_shutdown_timeout, then their clients come back."""
        vexa = self.vexa
        meeting = self.meeting()
        with Load(vexa, meeting, gets=0, posts=0) as load:
            pid = vexa.pid("nginx")

            def workers():
                with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                    return set(f.read().split())

            old = workers()
            os.kill(pid, signal.SIGHUP)
            wait_until("new workers", lambda: workers() - old)
            for _ in range(50):
                self.assertEqual(vexa.get("/auth/me").status, 200)
            self.assertLess(load.resumes, STREAMS)  # they still run
            wait_until("old workers end", lambda: not workers() & old, 10)
            wait_until("all came back", lambda: load.resumes >= STREAMS)
            n = [len(s) for s in load.seen]
            wait_until("events go on", lambda: all(len(s) > k for s, k in zip(load.seen, n)))
        load.check(self, torn=STREAMS)

    def test_runner_restarts(self):
        vexa = self.vexa
        meeting = self.meeting()
        with Load(vexa, meeting) as load:
            for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
                old = vexa.kill("runner", sig)
                vexa.wait_new_pid("runner", old)
                time.sleep(0.3)
            n = [len(s) for s in load.seen]
            wait_until("events go on", lambda: all(len(s) > k for s, k in zip(load.seen, n)))
        load.check(self)
        self.assertEqual(load.resumes, 0)

    def test_slow_peers(self):
        """Peers that stop in the middle of a request: nobody waits for them, and they are closed."""
        vexa = self.vexa
        begin = record(1, struct.pack(">HB5x", 1, 1))
        name = b"\x0e\x03REQUEST_METHODGET"
        params = begin + record(4, name) + record(4)
        # the large ones first: they get the two workers that may wait
        large = [params + record(5, b"x" * 30000), params + record(5, b"x" * 20000)[:19000]]
        stops = [begin[:1], begin[:5], begin, begin + record(4, name)[:12], begin + record(4, name),
                 params,
                 params + record(5, b"x" * 100), params[:20] + b"\xff" * 40, b"\xff" * 40]
        peers = []
        began = time.monotonic()
        for part in large + stops * 3:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(40 * SLOW)
            s.connect(self.socket_path())
            s.sendall(part)
            peers.append(s)
        worst = 0
        for _ in range(100):
            t = time.monotonic()
            self.assertEqual(vexa.get("/auth/me").status, 200)
            worst = max(worst, time.monotonic() - t)
            time.sleep(0.01)
        self.assertLess(worst, 0.5 * SLOW)
        pid = vexa.pid("fcgi")
        used, t = cpu_seconds(pid), time.monotonic()
        time.sleep(2)
        self.assertLess(cpu_seconds(pid) - used, 0.3 * (time.monotonic() - t))
        whole = params + record(5)
        late = socket.socket(socket.AF_UNIX)  # one that is slow but comes to its end
        late.settimeout(10 * SLOW)
        late.connect(self.socket_path())
        for i in range(len(whole)):
            late.sendall(whole[i:i + 1])
            time.sleep(0.005)
        self.assertIn(b"Status: ", late.recv(4096))
        late.close()
        for s in peers:
            with contextlib.suppress(ConnectionResetError):
                while s.recv(4096):
                    pass
            s.close()
        self.assertLess(time.monotonic() - began, 14 * SLOW)


class Protocol(unittest.TestCase):
    """A new responder against predecessors made by hand."""

    HELLO, OFFER, REFUSE, GO, CONNECTION, BYE = range(1, 7)

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="vexa-test-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.vexa = os.environ["VEXA_BINARY"]
        subprocess.run([self.vexa, "init", "--dir", self.dir], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        self.path = os.path.join(self.dir, "run", "vexa.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.bind(self.path + ".ctl")
        self.control.listen(4)
        self.control.settimeout(20 * SLOW)
        self.log = open(os.path.join(self.dir, "log.txt"), "w+")
        self.new = subprocess.Popen([self.vexa, "fcgi", "--dir", self.dir], stdin=subprocess.DEVNULL,
                                    stdout=self.log, stderr=self.log)
        self.peer, _ = self.control.accept()
        self.peer.settimeout(20 * SLOW)
        self.assertEqual(self.message(), self.HELLO)

    def tearDown(self):
        if self.new.poll() is None:
            self.new.terminate()
            self.assertEqual(self.new.wait(10 * SLOW), 0)
        for s in (self.peer, self.control, self.listener):
            s.close()
        self.log.seek(0)
        text = self.log.read()
        self.log.close()
        for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer"):
            self.assertNotIn(word, text)

    def message(self):
        magic, version, kind = struct.unpack("=8sII", self.peer.recv(100))
        self.assertEqual((magic, version), (b"vexahand", 1))
        return kind

    def say(self, kind, fds=(), version=1):
        socket.send_fds(self.peer, [struct.pack("=8sII", b"vexahand", version, kind)], list(fds))

    def ask(self, s):
        params = b"".join(struct.pack("BB", len(k), len(v)) + k + v for k, v in
                          ((b"REQUEST_METHOD", b"GET"), (b"REQUEST_URI", b"/health")))
        s.settimeout(10 * SLOW)
        s.sendall(record(1, struct.pack(">HB5x", 1, 1)) + record(4, params) + record(4) + record(5))

    def is_answered(self, s):
        got = b""
        while b'"status"' not in got:
            part = s.recv(4096)
            self.assertTrue(part, got)
            got += part

    def test_connections_are_passed(self):
        idle, theirs = socket.socketpair()
        busy, theirs2 = socket.socketpair()
        self.ask(busy)  # arrives before the connection is passed
        self.say(self.OFFER, [self.listener.fileno()])
        self.assertEqual(self.message(), self.GO)
        self.say(self.CONNECTION, [theirs.fileno(), theirs2.fileno()])
        theirs.close()
        theirs2.close()
        self.is_answered(busy)
        self.ask(idle)
        self.is_answered(idle)
        self.say(self.BYE)
        self.assertEqual(self.peer.recv(100), b"")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            self.ask(s)
            self.is_answered(s)

    def test_dies_half_way(self):
        self.say(self.OFFER, [self.listener.fileno()])
        self.assertEqual(self.message(), self.GO)
        self.listener.close()
        self.peer.close()
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
                self.ask(s)
                self.is_answered(s)

    def test_dies_after_the_offer(self):
        self.say(self.OFFER, [self.listener.fileno()])
        self.peer.close()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            self.ask(s)
            self.is_answered(s)

    def test_dies_over_the_question(self):
        self.listener.close()
        self.control.close()
        self.peer.close()

        def alive():
            with socket.socket(socket.AF_UNIX) as s:
                with contextlib.suppress(OSError):
                    s.connect(self.path)
                    return True
            return False

        wait_until("its place is taken", alive)

    def test_another_version(self):
        self.say(self.REFUSE, version=2)
        self.assertEqual(self.new.wait(10 * SLOW), 111)

    def test_garbage_with_a_descriptor(self):
        socket.send_fds(self.peer, [b"zzz"], [self.listener.fileno()])
        self.assertEqual(self.new.wait(10 * SLOW), 111)

    def test_offer_without_a_listener(self):
        a, b = socket.socketpair()
        self.say(self.OFFER, [a.fileno()])
        self.assertEqual(self.new.wait(10 * SLOW), 111)
        a.close()
        b.close()


class Limits(unittest.TestCase):
    def setUp(self):
        self.vexa = Instance(speed=20, config={"stream.max": 6, "stream.max_per_user": 3})
        vexa = self.vexa
        vexa.recording("google_meet", "lim-itsl-imit", vtt([(0, 36000, "A", "a long word")]))
        self.row = vexa.send_bot("lim-itsl-imit")
        vexa.wait_status(self.row["id"], "active")

    def tearDown(self):
        self.assertEqual(self.vexa.remove(), [])

    def open(self):
        s = self.vexa.meeting_stream(self.row["id"])
        return s

    def test_limits_and_descriptors(self):
        vexa = self.vexa
        vexa.wait_status(self.row["id"], "active")
        streams = [self.open() for _ in range(2)]  # the bot has one of the user's three
        self.assertEqual([s.status for s in streams], [200] * 2)
        r = vexa.get("/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.row["id"], self.row["id"]))
        self.assertEqual(r.status, 429)
        self.assertEqual((r.json["code"], r.json["limit"], r.json["in_use"]), ("rate_limited", 3, 3))
        self.assertGreater(int(r.headers["retry-after"]), 0)
        # the limit of all, with the limit of one out of the way
        vexa.set_config({"stream.max_per_user": 1000})
        os.kill(vexa.pid("fcgi"), signal.SIGHUP)
        wait_until("another stream", lambda: self.add(streams, 3))
        streams += [self.open() for _ in range(2)]
        r = vexa.get("/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.row["id"], self.row["id"]))
        self.assertEqual((r.status, r.json["code"]), (503, "stream_capacity"))
        self.assertGreater(int(r.headers["retry-after"]), 0)
        self.assertEqual(vexa.get("/auth/me").status, 200)
        streams.pop().close()
        wait_until("the place is free again", lambda: self.add(streams, 5))
        self.emfile(streams)

    def add(self, streams, n):
        s = self.open()
        if s.status == 200:
            streams.append(s)
        else:
            s.close()
        return len(streams) == n

    def emfile(self, streams):
        """Out of descriptors: accepting pauses, nothing spins, all comes back."""
        vexa = self.vexa
        vexa.set_config({"stream.max": 1000})
        pid = vexa.pid("fcgi")
        os.kill(pid, signal.SIGHUP)
        wait_until("room for streams", lambda: self.add(streams, 6))
        old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid) + 4, old[1]))
        answers, threads = [], []

        def one():
            try:
                answers.append(self.open())
            except OSError as e:
                answers.append(e)

        for _ in range(24):
            t = threading.Thread(target=one, daemon=True)
            t.start()
            threads.append(t)
        path = os.path.join(vexa.dir, "log", "fcgi.log")
        wait_until("accepting pauses", lambda: "accept_paused" in open(path).read())
        used, began = cpu_seconds(pid), time.monotonic()
        time.sleep(2)
        self.assertLess(cpu_seconds(pid) - used, 0.2 * (time.monotonic() - began))
        self.assertLess(open(path).read().count("accept_paused"), 80)
        # the open streams live on; when some end, others get in
        for s in streams:
            s.close()
        self.assertNotIn(503, [getattr(a, "status", 0) for a in answers], [a.answer.read() for a in answers if getattr(a, "status", 0) == 503][:3])
        wait_until("waiting ones get in", lambda: len([a for a in answers if getattr(a, "status", 0) == 200]) >= 6)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        for t in threads:
            t.join(10 * SLOW)
        statuses = [getattr(a, "status", 0) for a in answers]
        # nginx gives up after fastcgi_connect_timeout only when the backlog is full, which it is not
        self.assertEqual(statuses, [200] * 24)
        self.assertEqual(vexa.get("/auth/me").status, 200)
        for a in answers:
            a.close()
        self.assertEqual(vexa.pid("fcgi"), pid)


if __name__ == "__main__":
    unittest.main()
