"""Black-box harness: a real instance behind a real nginx, made with ./quickstart.

An Instance is what a user gets: nothing here looks inside the program. Tests share one instance a
run (shared()) unless they change its configuration; they make users of their own.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.path.join(os.path.dirname(TOP), "shared")
MODE = os.environ.get("VEXA_CHECK", "quick")
ASAN = MODE == "asan"
# A sanitizer build on two cores is several times slower; waits are upper bounds, not pauses.
SLOW = 5 if ASAN else 1


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    """One HTTP answer: status, headers (lower-case names), raw body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {k.lower(): v for k, v in headers}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%d %r>" % (self.status, self.body[:300])


class Stream:
    """An open event stream. Frames come as (id or None, data dict or None for comments)."""

    def __init__(self, port, path, headers, timeout):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.conn.request("GET", path, headers=headers)
        self.answer = self.conn.getresponse()
        self.status = self.answer.status
        self.armed = None
        self.last_id = None

    def headers(self):
        return {k.lower(): v for k, v in self.answer.getheaders()}

    def frames(self):
        """Yields (id, data) for every frame with data; keeps last_id as a browser would."""
        ident, data = None, []
        while True:
            try:
                line = self.answer.readline()
            except (TimeoutError, OSError, http.client.HTTPException):
                return
            if not line:
                return
            line = line.rstrip(b"\r\n").decode()
            if line == "":
                if ident is not None:
                    self.last_id = ident
                    if self.armed is None:
                        self.armed = ident
                if data:
                    yield ident, json.loads("\n".join(data))
                ident, data = None, []
            elif line.startswith("id:"):
                ident = line[3:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].lstrip(" "))

    def close(self):
        try:
            if self.conn.sock:
                self.conn.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.answer.close()
        self.conn.close()


class Instance:
    """An instance started by ./quickstart --detach in a folder of its own."""

    def __init__(self, speed=60, config=None, start=True):
        self.tmp = tempfile.mkdtemp(prefix="vexa-test-")
        self.dir = os.path.join(self.tmp, "instance")
        self.port = free_port()
        self.speed = speed
        self.vexa = os.environ["VEXA_BINARY"]
        self.config = config or {}
        self.users = 0
        if start:
            self.start()

    def start(self):
        if self.config:
            self.command("init", "--base-url", "http://127.0.0.1:%d" % self.port, "--speed", str(self.speed))
            self.set_config(self.config)
        out = subprocess.run(
            [os.path.join(TOP, "quickstart"), "--detach", "--no-demo", "--no-install", "--dir", self.dir,
             "--port", str(self.port), "--speed", str(self.speed)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        if out.returncode:
            raise RuntimeError("quickstart failed: %s%s" % (out.stdout, out.stderr))
        self.env = dict(line.split("=", 1) for line in out.stdout.splitlines() if "=" in line)
        self.key = self.env["api_key"]
        self.admin = self.env["admin_token"]

    def set_config(self, values):
        """Sets "section.key": value in vexa.conf."""
        path = os.path.join(self.dir, "vexa.conf")
        with open(path) as f:
            lines = f.read().splitlines()
        for name, value in values.items():
            section, key = name.split(".", 1)
            lines = [l for l in lines if l.split("=")[0].strip() != key]
            if "[%s]" % section not in lines:
                lines.append("[%s]" % section)
            at = lines.index("[%s]" % section)
            lines.insert(at + 1, "%s = %s" % (key, value))
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")

    def stop(self):
        subprocess.run([os.path.join(TOP, "quickstart"), "--stop", "--dir", self.dir],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def reports(self):
        """Sanitizer reports found in the logs."""
        found = []
        logs = os.path.join(self.dir, "log")
        for name in os.listdir(logs) if os.path.isdir(logs) else []:
            with open(os.path.join(logs, name), errors="replace") as f:
                text = f.read()
            for word in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer",
                         "WARNING: ThreadSanitizer"):
                if word in text:
                    at = text.index(word)
                    found.append("%s: %s" % (name, text[at:at + 3000]))
        return found

    def remove(self):
        self.stop()
        reports = self.reports()
        if not os.environ.get("VEXA_KEEP"):
            shutil.rmtree(self.tmp, ignore_errors=True)
        return reports

    def command(self, *args, **kw):
        """Runs vexa with --dir; returns its standard output."""
        out = subprocess.run([self.vexa, args[0], *args[1:], "--dir", self.dir], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, timeout=60, **kw)
        if out.returncode:
            raise RuntimeError("vexa %s: %s%s" % (" ".join(args), out.stdout, out.stderr))
        return out.stdout

    # --- HTTP

    def request(self, method, path, key=None, admin=None, body=None, headers=None, raw=None, timeout=30):
        head = dict(headers or {})
        if key is not None:
            head["X-API-Key"] = key
        if admin is not None:
            head["X-Admin-API-Key"] = admin
        if body is not None:
            raw = json.dumps(body).encode()
            head.setdefault("Content-Type", "application/json")
        if isinstance(raw, str):
            raw = raw.encode()
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            conn.request(method, path, body=raw, headers=head)
            r = conn.getresponse()
            return Answer(r.status, r.getheaders(), r.read())
        finally:
            conn.close()

    def get(self, path, key=None, **kw):
        return self.request("GET", path, key=self.key if key is None else key, **kw)

    def post(self, path, body=None, key=None, **kw):
        return self.request("POST", path, key=self.key if key is None else key, body=body, **kw)

    def delete(self, path, key=None, **kw):
        return self.request("DELETE", path, key=self.key if key is None else key, **kw)

    def as_admin(self, method, path, body=None, **kw):
        return self.request(method, path, admin=self.admin, body=body, **kw)

    def stream(self, path, key=None, last_id=None, timeout=60, headers=None):
        head = {"X-API-Key": self.key if key is None else key, "Accept": "text/event-stream"}
        head.update(headers or {})
        if last_id:
            head["Last-Event-ID"] = last_id
        return Stream(self.port, path, head, timeout * SLOW)

    def meeting_stream(self, meeting_id, key=None, last_id=None, timeout=60, query=""):
        return self.stream("/agent/meeting/stream?meeting_id=%s&session_uid=%s%s" % (meeting_id, meeting_id, query),
                           key=key, last_id=last_id, timeout=timeout)

    # --- things tests need

    def new_user(self, max_bots=3):
        self.users += 1
        email = "user%d-%d@example.com" % (self.users, time.monotonic_ns())
        r = self.as_admin("POST", "/admin/users", {"email": email, "max_concurrent_bots": max_bots})
        assert r.status == 201, r
        return r.json["id"]

    def new_key(self, user, scopes=("bot", "tx"), **extra):
        body = {"scopes": list(scopes)}
        body.update(extra)
        r = self.as_admin("POST", "/admin/users/%d/tokens" % user, body)
        assert r.status == 201, r
        return r.json["token"]

    def key_of_new_user(self, scopes=("bot", "tx"), max_bots=3):
        return self.new_key(self.new_user(max_bots), scopes)

    def recording(self, platform, native_id, text):
        path = os.path.join(self.dir, "recordings", platform, native_id + ".vtt")
        with open(path, "w") as f:
            f.write(text)

    def send_bot(self, native_id, key=None, platform="google_meet", **extra):
        body = {"platform": platform, "native_meeting_id": native_id}
        body.update(extra)
        r = self.post("/bots", body, key=key)
        assert r.status == 201, r
        return r.json

    def wait_status(self, meeting_id, wanted, key=None, timeout=60):
        """Waits for a meeting to reach one of the statuses; returns its row."""
        wanted = (wanted,) if isinstance(wanted, str) else wanted
        end = time.monotonic() + timeout * SLOW
        while True:
            try:
                r = self.get("/meetings/%d" % meeting_id, key=key)
                if r.status == 200 and r.json["status"] in wanted:
                    return r.json
            except OSError:
                r = None
            if time.monotonic() > end:
                raise AssertionError("meeting %d never became %s: %r" % (meeting_id, wanted, r))
            time.sleep(0.05)

    def pid(self, name):
        """Pid recorded under this name (up, fcgi, runner, nginx, bot:…), or None."""
        with open(os.path.join(self.dir, "pids")) as f:
            for line in f:
                parts = line.split()
                if parts and parts[0] == name:
                    return int(parts[1])
        return None

    def kill(self, name, sig=signal.SIGKILL):
        pid = self.pid(name)
        os.kill(pid, sig)
        return pid

    def wait_new_pid(self, name, old, timeout=10):
        end = time.monotonic() + timeout * SLOW
        while time.monotonic() < end:
            pid = self.pid(name)
            if pid and pid != old:
                return pid
            time.sleep(0.01)
        raise AssertionError("%s did not come back" % name)

    def wait_ready(self, timeout=20):
        end = time.monotonic() + timeout * SLOW
        while time.monotonic() < end:
            try:
                if self.get("/ready").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("the instance did not become ready")


_shared = None
_lock = threading.Lock()


def shared():
    """The one instance most tests use (recordings play 60 times faster)."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = Instance()
        return _shared


def drop_shared():
    global _shared
    with _lock:
        reports = _shared.remove() if _shared else []
        _shared = None
        return reports


def vtt(cues, note=None):
    """WebVTT text of (start, end, speaker, text) with times in seconds."""

    def stamp(t):
        ms = round(t * 1000)
        return "%02d:%02d:%02d.%03d" % (ms // 3600000, ms // 60000 % 60, ms // 1000 % 60, ms % 1000)

    out = ["WEBVTT", ""]
    if note:
        out += ["NOTE replay"] + note + [""]
    for i, (start, end, speaker, text) in enumerate(cues, 1):
        out += [str(i), "%s --> %s" % (stamp(start), stamp(end)),
                ("<v %s>%s" % (speaker, text)) if speaker else text, ""]
    return "\n".join(out)


def read_vtt(path):
    """(speaker, text) of the cues of a simple recording, read without our parser."""
    cues = []
    with open(path, encoding="utf-8") as f:
        blocks = f.read().replace("\r\n", "\n").split("\n\n")
    for block in blocks:
        lines = block.strip("\n").split("\n")
        at = next((i for i, l in enumerate(lines) if "-->" in l), None)
        if at is None:
            continue
        text = "\n".join(lines[at + 1:])
        speaker = ""
        if text.startswith("<v "):
            speaker, text = text[3:].split(">", 1)
        text = text.replace("</v>", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        cues.append((speaker, text))
    return cues


class TestCase(unittest.TestCase):
    maxDiff = None

    @property
    def vexa(self):
        return shared()
