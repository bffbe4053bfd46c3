"""The same promises on every transport: nginx, Apache with mod_proxy_fcgi, with mod_fcgid (live with
the buffer off), with mod_fcgid where only .htaccess is ours (by long poll), and plain CGI. One
scenario each, side by side: a meeting is followed from its first word to its end while the client
hangs up and the responders are killed; then a silent stream is watched to its planned end."""

import concurrent.futures
import http.client
import os
import random
import signal
import socket
import threading
import time
import unittest

import apache
import harness
from harness import SLOW, TestCase, vtt

WORDS = 60
MAX_SECONDS = 18  # one heartbeat (15 s), then the planned end
CONFIG = {"stream.max_seconds": str(MAX_SECONDS)}
SPEED = 10
CUES = [(i, i + 0.9, "AB"[i % 2], "word %d" % i) for i in range(WORDS)]


class NginxSite(harness.Instance):
    def __init__(self, **kw):
        super().__init__(**kw)
        self.key = self.key_of_new_user()

    def responders(self):
        pid = self.pid("fcgi")
        return [pid] if pid else []

    def kill_responders(self):
        self.kill("fcgi")
        return 1


def number(ident):
    return int(ident.rsplit("-", 1)[1])


class Raw:
    """The lines of a stream with the time each came, until the server ends it."""

    def __init__(self, site, path, last_id=None):
        self.began = time.monotonic()
        head = {"X-API-Key": site.key}
        if last_id:
            head["Last-Event-ID"] = last_id
        self.conn = http.client.HTTPConnection("127.0.0.1", site.port, timeout=40 * SLOW)
        self.conn.request("GET", path, headers=head)
        self.answer = self.conn.getresponse()
        self.status = self.answer.status
        self.headed = time.monotonic() - self.began
        self.lines, self.clean = [], False

    def read(self):
        try:
            while True:
                line = self.answer.readline()
                if not line:
                    break
                self.lines.append((time.monotonic() - self.began, line.decode().rstrip("\r\n")))
            self.clean = True
        except (OSError, http.client.HTTPException):
            pass
        self.took = time.monotonic() - self.began
        self.conn.close()
        return self

    def when(self, start):
        return [t for t, line in self.lines if line.startswith(start)]


class Story:
    """Runs the scenario on one site and keeps what happened."""

    def __init__(self, make, live):
        self.live = live  # streams arrive as they are told; else long polls do
        self.site = make(speed=SPEED, config=CONFIG)
        self.path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d"
        self.random = random.Random(7)
        self.seen, self.times, self.reconnects, self.refused = [], [], 0, []
        self.killed = 0

    def run(self):
        site = self.site
        site.recording("google_meet", "tra-nspo-rts", vtt(CUES))
        site.recording("google_meet", "sil-ence-one", vtt([(100000, 100001, "A", "never")]))
        self.silent = site.send_bot("sil-ence-one", key=site.key)["id"]
        self.row = site.send_bot("tra-nspo-rts", key=site.key)["id"]
        killer = threading.Thread(target=self.kill)
        killer.start()
        (self.follow if self.live else self.follow_by_poll)()
        self.end_seen = time.monotonic()
        killer.join()
        site.wait_status(self.row, ("completed", "failed"), key=site.key)
        site.wait_status(self.silent, "active", key=site.key)
        self.tip = site.get(self.path % (self.silent, self.silent) + "&wait=0", key=site.key).json["next_since"]
        self.quiet = Raw(site, self.path % (self.silent, self.silent), last_id=self.tip).read()
        self.back = self.cut_by_term()
        site.wait_ready()
        return self

    def kill(self):
        """Responders die in the middle of the meeting, three times."""
        for _ in range(3):
            time.sleep(1.6)
            self.killed += self.site.kill_responders()

    def take(self, ident, data):
        self.seen.append((ident, data))
        self.times.append(time.monotonic())
        return data["type"] == "meeting-end"

    def follow(self):
        last = None
        while True:
            self.reconnects += 1
            try:
                s = self.site.meeting_stream(self.row, key=self.site.key, last_id=last, timeout=20)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if s.status == 204:
                return
            if s.status != 200:
                self.refused.append(s.status)
                s.close()
                time.sleep(0.05)
                continue
            left = self.random.randint(3, 20)
            for ident, data in s.frames():
                if ident:
                    last = ident
                    self.take(ident, data)
                    left -= 1
                if left == 0:
                    break
            s.close()

    def follow_by_poll(self):
        since = ""
        while True:
            self.reconnects += 1
            try:
                r = self.site.get(self.path % (self.row, self.row) + "&wait=20&since=" + since, key=self.site.key)
            except (OSError, http.client.HTTPException):
                continue
            if r.status != 200:
                self.refused.append(r.status)
                time.sleep(0.05)
                continue
            for e in r.json["events"]:
                self.take(e["id"], e["data"])
            since = r.json["next_since"]
            if r.json["end"]:
                return

    def cut_by_term(self):
        """SIGTERM while a stream is open: last words, not a cut."""
        raw = Raw(self.site, self.path % (self.silent, self.silent), last_id=self.tip) if self.live else None
        if raw is None:
            return None
        t = threading.Thread(target=raw.read)
        t.start()
        time.sleep(0.3 * SLOW)
        for pid in self.site.responders():
            os.kill(pid, signal.SIGTERM)
        t.join(30 * SLOW)
        return raw


SITES = {
    "nginx": (NginxSite, True),
    "proxy_fcgi": (apache.ProxySite, True),
    "mod_fcgid": (apache.FcgidSite, True),
    "htaccess": (apache.HtaccessSite, False),
    "cgi": (apache.CgiSite, True),
}
stories, running = {}, None
left_out = {}  # name -> why


def setUpModule():
    global running
    if not apache.apache_binary():
        left_out.update((n, "Apache is not installed") for n in SITES if n != "nginx")
    elif not apache.shared_memory():
        left_out.update((n, "no /dev/shm to write to: mod_fcgid cannot start") for n in ("mod_fcgid", "htaccess"))
    names = [n for n in SITES if n not in left_out]
    running = concurrent.futures.ThreadPoolExecutor(max_workers=len(names))
    made = {n: running.submit(Story, *SITES[n]) for n in names}
    faults = [f.exception() for f in made.values()]
    stories.update({n: f.result() for n, f in made.items() if not f.exception()})
    if any(faults):
        for s in stories.values():
            s.site.remove()
        raise [f for f in faults if f][0]
    for name in names:
        stories[name].done = running.submit(stories[name].run)


def tearDownModule():
    concurrent.futures.wait([s.done for s in stories.values()])
    reports = sum(running.map(lambda s: s.site.remove(), stories.values()), [])
    running.shutdown()
    left = {n: s.site.left_over for n, s in stories.items() if getattr(s.site, "left_over", 0)}
    assert not left, left
    assert not reports, reports


class Transport:
    name = None
    refusals = {503}  # what a client sees while a responder is gone

    def setUp(self):
        if self.name in left_out:
            self.skipTest(left_out[self.name])
        self.story = stories[self.name]
        self.site = self.story.site

    def told(self):
        return self.story.done.result()

    # --- what the scenario showed

    def test_contiguous_to_the_end(self):
        s = self.told()
        whole = [f for f in self.site.meeting_stream(s.row, key=self.site.key).frames() if f[0]]
        self.assertEqual(s.seen, whole)
        self.assertEqual(whole[-1][1]["type"], "meeting-end")
        text = " ".join(str(d) for _, d in whole)
        for i in range(WORDS):
            self.assertIn("word %d'" % i, text)
        self.assertGreaterEqual(s.reconnects, 4)
        self.assertTrue(set(s.refused) <= self.refusals, s.refused)

    def test_responders_died_meanwhile(self):
        self.assertGreaterEqual(self.told().killed, 3)

    def test_live(self):
        """Events came while the meeting went on, not at its end."""
        s = self.told()
        self.assertGreater(s.times[-1] - s.times[0], 3)
        spread = {int((t - s.times[0]) * 2) for t in s.times}
        self.assertGreaterEqual(len(spread), 3)

    def test_replay_and_resume(self):
        s = self.told()
        stream = lambda **kw: [f for f in self.site.meeting_stream(s.row, key=self.site.key, **kw).frames() if f[0]]
        self.assertEqual(stream(query="&replay=5"), s.seen[-5:])
        self.assertEqual(stream(last_id=s.seen[20][0]), s.seen[21:])
        r = self.site.get(s.path % (s.row, s.row), key=self.site.key, headers={"Last-Event-ID": s.seen[-1][0]})
        self.assertEqual((r.status, r.body), (204, b""))
        a = self.site.get(s.path % (s.row, s.row) + "&wait=0&since=" + s.seen[20][0], key=self.site.key).json
        self.assertEqual([(e["id"], e["data"]) for e in a["events"]], s.seen[21:])
        self.assertTrue(a["end"])

    def test_poll_waits(self):
        s = self.told()
        began = time.monotonic()
        a = self.site.get(s.path % (s.silent, s.silent) + "&wait=1&since=" + s.tip, key=self.site.key).json
        self.assertEqual((a["events"], a["end"]), ([], False))
        self.assertTrue(1 <= time.monotonic() - began < 2.5 * SLOW)

    def test_silence_planned_end_and_return(self):
        s = self.told()
        q = s.quiet
        self.assertEqual(q.status, 200)
        self.assertTrue(q.clean)
        self.assertIn("id: " + s.tip, [line for _, line in q.lines])
        self.assertEqual(len(q.when("data: {\"type\":\"ping\"}")), 1)
        self.assertEqual(len(q.when("retry: ")), 1)
        self.assertTrue(MAX_SECONDS - 0.1 <= q.took < MAX_SECONDS + 3 * SLOW, q.took)
        if s.live:
            self.assertLess(q.headed, 2 * SLOW)
            self.assertLess(abs(q.when("data: {\"type\":\"ping\"}")[0] - 15), 1 * SLOW)
            raw = s.back
            self.assertEqual(raw.status, 200)
            self.assertTrue(raw.clean)
            self.assertEqual(len(raw.when("retry: ")), 1)
            self.assertLess(raw.took, 4 * SLOW)

    # --- a smoke of requests

    limit = 1 << 20
    own_413 = True

    def test_errors(self):
        site = self.site
        cases = [("GET", "/auth/me", "", None, 401, "missing_api_key"), ("GET", "/auth/me", "vxa_tx_x", None, 401, "invalid_api_key"),
                 ("GET", "/nowhere", site.key, None, 404, "not_found"), ("PUT", "/auth/me", site.key, b"{}", 405, "method_not_allowed"),
                 ("POST", "/bots", site.key, b"{", 422, None), ("GET", "/meetings?limit=x", site.key, None, 422, None),
                 ("GET", "/admin/users/1", site.key, None, 403, None), ("GET", "/mcp", site.key, None, 501, "not_implemented"),
                 ("POST", "/bots", site.key, b"x" * ((1 << 20) + 1), 413, "payload_too_large"),
                 ("POST", "/bots", site.key, b"x" * (34 << 20), 413, "payload_too_large")]
        for method, path, key, raw, status, code in cases:
            try:
                r = site.request(method, path, key=key or None, raw=raw, headers={"X-Request-Id": "mine-1"})
            except (BrokenPipeError, ConnectionResetError):
                self.assertEqual(status, 413)  # refused before it was read
                continue
            self.assertEqual(r.status, status, (path, r))
            self.assertTrue(r.headers["content-type"].startswith("application/json"), r.headers)
            self.assertIn("detail", r.json)
            if code:
                self.assertEqual(r.json["code"], code)
            if status != 413:
                self.assertEqual((r.headers["x-request-id"], r.json["request_id"]), ("mine-1", "mine-1"))
            if status == 401:
                self.assertEqual(r.headers["www-authenticate"], "Bearer")

    def test_bearer_passes(self):
        r = self.site.request("GET", "/auth/me", headers={"Authorization": "Bearer " + self.site.key})
        self.assertEqual(r.status, 200)

    def test_escaped_path_and_query(self):
        r = self.site.get("/agent/meeting/stream?meeting_id=a%2Bb%20c%26d&session_uid=%C3%A9", key=self.site.key)
        self.assertEqual(r.status, 403)
        # No '=' in the query: a CGI server would make it our command line.
        for query in ("fcgi+--dir+/nowhere", "--help", "token+create", "--dir+%2Fnowhere"):
            self.assertEqual(self.site.get("/auth/me?" + query, key=self.site.key).status, 422, query)

    def test_bodies(self):
        """Whole up to the limit: the contract saw the last byte."""
        for size in (1, 4000, 70000, self.limit):
            raw = b'{"zz": "' + b"y" * (size - 10) + b'"}' if size > 10 else b"7"
            r = self.site.post("/bots", raw=raw, key=self.site.key)
            self.assertEqual(r.status, 422, (size, r))
            if size > 10:
                self.assertIn(["body", "zz"], [e["loc"] for e in r.json["detail"]])

    def test_kept_connection_with_unread_bodies(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=20 * SLOW)
        for i in range(6):
            conn.request("POST", "/bots", body=b"x" * (20000 * (i + 1)), headers={"X-API-Key": "wrong"})
            r = conn.getresponse()
            self.assertEqual((r.status, b"invalid_api_key" in r.read()), (401, True))
            conn.request("GET", "/auth/me", headers={"X-API-Key": self.site.key})
            r = conn.getresponse()
            self.assertEqual(r.status, 200)
            r.read()
        conn.close()

    def test_head_and_no_content(self):
        r = self.site.request("HEAD", "/auth/me", key=self.site.key)
        self.assertEqual((r.status, r.body), (200, b""))


class Nginx(Transport, TestCase):
    name = "nginx"


class ProxyFcgi(Transport, TestCase):
    name = "proxy_fcgi"


class ModFcgid(Transport, TestCase):
    name = "mod_fcgid"

    def test_one_process_a_request(self):
        """As many processes as open streams, each with few threads, gone with their server."""
        s = self.told()
        open_ = [self.site.meeting_stream(s.silent, key=self.site.key, last_id=s.tip) for _ in range(4)]
        try:
            self.assertEqual([o.status for o in open_], [200] * 4)
            pids = self.site.responders()
            self.assertGreaterEqual(len(pids), 4)
            for pid in pids:
                with open("/proc/%d/status" % pid) as f:
                    status = dict(l.split(":", 1) for l in f.read().splitlines())
                self.assertLessEqual(int(status["Threads"]), 7)
                if not harness.ASAN:
                    self.assertLess(int(status["RssAnon"].split()[0]), 8000)
            with open(os.path.join(self.site.dir, "pids")) as f:
                self.assertNotIn("fcgi ", f.read())
        finally:
            for o in open_:
                o.close()


class Htaccess(Transport, TestCase):
    name = "htaccess"
    refusals = {500, 503}  # mod_fcgid's word for a process that died
    limit = 120000


class Cgi(Transport, TestCase):
    name = "cgi"
