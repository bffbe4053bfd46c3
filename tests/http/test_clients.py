"""The clients of docs/streams.md, as they stand there, and vexa tail: each follows one meeting to
its end while the responder is killed, and must tell every event once. And vexa tail's own ways:
forms of output, refusals, exit statuses.
"""

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from harness import SLOW, TOP, Instance, TestCase, vtt

CUES = [(i * 15, i * 15 + 12, "Ada Ben Cleo".split()[i % 3], "Sentence %d, naïve and “quoted”." % i) for i in range(80)]
CHROMIUM = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"]
# Tells the test when the page shows its first event, and what it shows once it is done.
REPORT = """<script>
let begun = false;
setInterval(() => {
  const name = location.pathname.slice(1), text = document.getElementById("out").textContent;
  if (text && !begun) fetch("/result/begun-" + name, {method: "POST", body: ""});
  begun ||= text !== "";
  if (document.title === "live") return;
  fetch("/result/" + name, {method: "POST", body: document.title + "\\n" + text});
  document.title = "live";
}, 100);
</script>
"""


def examples():
    with open(os.path.join(TOP, "docs", "streams.md"), encoding="utf-8") as f:
        found = re.findall(r"^<!-- example: (\w+) -->\n```\w+\n(.*?)^```$", f.read(), re.M | re.S)
    return dict(found)


def told(lines):
    """(id, frame) of each line "<id> <json>"."""
    return [(i, json.loads(data)) for i, data in (l.split(" ", 1) for l in lines.split("\n") if l)]


class Page(http.server.ThreadingHTTPServer):
    """Serves the two pages and takes their results; nginx puts it on the origin of the API."""

    daemon_threads = True

    def __init__(self, pages):
        self.pages, self.results, self.come = pages, {}, threading.Condition()
        super().__init__(("127.0.0.1", 0), Handler)

    def result(self, name, seconds):
        with self.come:
            self.come.wait_for(lambda: name in self.results, seconds)
            return self.results.get(name)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        page = self.server.pages.get(self.path.partition("?")[0].removeprefix("/page/"))
        self.answer(200 if page else 404, (page or "").encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with self.server.come:
            self.server.results[self.path.rsplit("/", 1)[1]] = body
            self.server.come.notify_all()
        self.answer(204)

    def log_message(self, *args):
        pass


class Follow(TestCase):
    """One meeting, all clients at once, two kills."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="vexa-clients-")
        cls.own = v = Instance(speed=60)
        cls.running, cls.browsers = {}, []
        cls.page = None
        try:
            cls.start(v)
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def start(cls, v):
        cls.text = examples()
        v.recording("google_meet", "cli-ents-one", vtt(CUES))  # 20 seconds
        cls.serve_pages(v)
        cls.row = v.send_bot("cli-ents-one")
        cls.meeting = str(cls.row["id"])
        cls.client("tail", [v.vexa, "tail", "--dir", v.dir, "--meeting", cls.meeting, "--json"])
        cls.client("curl", ["bash", cls.file("follow.sh", "curl"), cls.meeting])
        cls.client("python", ["python3", cls.file("follow.py", "python"), cls.meeting])
        if shutil.which("node"):
            cls.client("node", ["node", cls.file("follow.mjs", "node"), cls.meeting])
        if shutil.which("chromium"):
            cls.browse("fetch.html?meeting=%s#%s" % (cls.meeting, v.key))
            cls.browse("eventsource.html?meeting=%s" % cls.meeting)
        cls.wait_all_follow()
        for _ in range(2):
            time.sleep(3)  # events in flight
            cls.before = v.get("/meetings/" + cls.meeting).json["status"]
            v.wait_new_pid("fcgi", v.kill("fcgi"))
            v.wait_ready()
        v.wait_status(cls.row["id"], "completed", timeout=120)
        whole = v.meeting_stream(cls.row["id"])
        cls.whole = [(i, d) for i, d in whole.frames() if i]
        whole.close()

    @classmethod
    def wait_all_follow(cls):
        """Until every client has told its first event."""
        end = time.monotonic() + 30 * SLOW
        for name, (_, out, _) in cls.running.items():
            while not os.path.getsize(out.name):
                assert time.monotonic() < end, name + " told nothing"
                time.sleep(0.02)
        for page in ("fetch.html", "eventsource.html") if cls.browsers else ():
            assert cls.page.result("begun-" + page, max(end - time.monotonic(), 0)) is not None, page

    @classmethod
    def file(cls, name, example):
        path = os.path.join(cls.tmp, name)
        with open(path, "w") as f:
            f.write(cls.text[example])
        return path

    @classmethod
    def serve_pages(cls, v):
        """Adds the page's locations to the instance's nginx: one origin for page and API."""
        pages = {n + ".html": cls.text[n] + REPORT for n in ("fetch", "eventsource")}
        cls.page = Page(pages)
        threading.Thread(target=cls.page.serve_forever, daemon=True).start()
        local = "http://127.0.0.1:%d" % cls.page.server_address[1]
        live = cls.text["nginx"].replace("http://127.0.0.1:18056", v.env["base_url"])
        own = """
        location ~ ^/[a-z]+\\.html$ {
            rewrite ^/(.*)$ /page/$1 break;
            proxy_pass %s;
            add_header Set-Cookie "vexa_key=%s; HttpOnly; SameSite=Strict; Path=/live";
        }
        location /result/ { proxy_pass %s; }
        """ % (local, v.key, local)
        path = os.path.join(v.dir, "nginx.conf")
        with open(path) as f:
            conf = f.read()
        at = conf.index("        location / {")
        with open(path, "w") as f:
            f.write(conf[:at] + live + own + conf[at:])
        v.kill("nginx", signal.SIGHUP)
        end = time.monotonic() + 10 * SLOW
        while v.get("/fetch.html").status != 200:
            assert time.monotonic() < end, "nginx does not serve the page"
            time.sleep(0.05)

    @classmethod
    def client(cls, name, command):
        env = dict(os.environ, base_url=cls.own.env["base_url"], api_key=cls.own.key, no_proxy="127.0.0.1")
        env.pop("VEXA_API_KEY", None)
        out, err = (open(os.path.join(cls.tmp, name + e), "w+") for e in (".out", ".err"))
        cls.running[name] = (subprocess.Popen(command, stdout=out, stderr=err, env=env), out, err)

    @classmethod
    def browse(cls, page):
        profile = os.path.join(cls.tmp, "profile-" + page.split(".")[0])
        cls.browsers.append(subprocess.Popen(
            ["chromium", *CHROMIUM, "--user-data-dir=" + profile, "--remote-debugging-port=0",
             cls.own.env["base_url"] + "/" + page],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))

    @classmethod
    def tearDownClass(cls):
        for p in cls.browsers:
            try:
                os.killpg(p.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            p.wait()
        for p, out, err in cls.running.values():
            if p.poll() is None:
                p.kill()
                p.wait()
            out.close()
            err.close()
        if cls.page:
            cls.page.shutdown()
            cls.page.server_close()
        reports = cls.own.remove()
        shutil.rmtree(cls.tmp, ignore_errors=True)
        assert not reports, reports

    def same(self, got):
        self.assertGreater(len(self.whole), 150)
        self.assertEqual(self.before, "active", "the meeting was over before the second kill")
        self.assertEqual(self.whole[-1][1]["type"], "meeting-end")
        self.assertEqual([i for i, _ in got], [i for i, _ in self.whole])
        self.assertEqual(got, self.whole)

    def ended(self, name):
        """Standard output and error of a client, which must end by itself."""
        if name not in self.running:
            self.skipTest(name + " is not installed")
        p, out, err = self.running[name]
        p.wait(60 * SLOW)
        texts = []
        for f in (out, err):
            f.seek(0)
            texts.append(f.read())
        self.assertEqual(p.returncode, 0, texts[1])
        return texts

    def test_curl(self):
        self.same(told(self.ended("curl")[0]))

    def test_python(self):
        self.same(told(self.ended("python")[0]))

    def test_node(self):
        self.same(told(self.ended("node")[0]))

    def shown(self, page):
        if not self.browsers:
            self.skipTest("chromium is not installed")
        result = self.page.result(page, 60 * SLOW)
        self.assertIsNotNone(result, "the page did not come to its end")
        title, _, lines = result.partition("\n")
        self.assertEqual(title, "ended")
        self.same(told(lines))

    def test_browser_with_fetch(self):
        self.shown("fetch.html")

    def test_browser_with_eventsource(self):
        self.shown("eventsource.html")

    def test_vexa_tail(self):
        out, err = self.ended("tail")
        lines = [json.loads(l) for l in out.splitlines()]
        self.same([(l["id"], l["data"]) for l in lines if l["id"]])
        self.assertIn("again in", err)
        self.assertIn("connected again", err)

    def test_the_page_shows_its_function_once(self):
        """The browser's copy of follow() is the Node example's."""
        body = re.compile(r"^async function\* follow.*?^}$", re.M | re.S)
        self.assertEqual(body.search(self.text["node"]).group(), body.search(self.text["fetch"]).group())


class Tail(TestCase):
    """vexa tail on an ended meeting."""

    @classmethod
    def setUpClass(cls):
        from harness import shared
        v = shared()
        v.recording("google_meet", "tail-one-two", vtt([(0, 3, "Ada", "Hello \x1b[2J there"), (100, 101, "", "Bye")]))
        cls.key = v.key_of_new_user()
        cls.row = v.send_bot("tail-one-two", key=cls.key)
        cls.row = v.wait_status(cls.row["id"], ("completed", "failed"), key=cls.key, timeout=120)

    def tail(self, *args, key=None, **env):
        v = self.vexa
        out = subprocess.run([v.vexa, "tail", "--url", v.env["base_url"] + "/", *args], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60 * SLOW, text=True,
                             env=dict(os.environ, VEXA_API_KEY=self.key if key is None else key, **env))
        return out.returncode, out.stdout, out.stderr

    def test_readable(self):
        status, out, err = self.tail("--meeting", "tail-one-two")
        self.assertEqual((status, err), (0, ""))
        lines = out.splitlines()
        self.assertEqual(lines[0], "-- google_meet/tail-one-two: requested")
        self.assertEqual(lines[-2:], ["-- google_meet/tail-one-two: completed (left_alone)", "-- the meeting has ended"])
        said = [l for l in lines if l.startswith("[")]
        self.assertEqual(said, ["[00:00:00] Ada: Hello [2J there", "[00:01:40] Bye"])
        self.assertNotIn("\x1b", out)

    def test_since_and_end(self):
        status, out, _ = self.tail("--meeting", str(self.row["id"]), "--json")
        frames = [json.loads(l) for l in out.splitlines()]
        self.assertEqual(status, 0)
        self.assertEqual(frames[-1]["data"]["type"], "meeting-end")
        rest = self.tail("--meeting", str(self.row["id"]), "--json", "--since", frames[2]["id"])[1]
        self.assertEqual([json.loads(l) for l in rest.splitlines()], frames[3:])
        self.assertEqual(self.tail("--meeting", str(self.row["id"]), "--since", frames[-1]["id"]), (0, "", ""), "204")
        path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d&replay=2" % (self.row["id"], self.row["id"])
        last = self.tail("--path", path, "--json")[1]
        self.assertEqual([json.loads(l) for l in last.splitlines()], frames[-2:])

    def test_reset_is_told(self):
        status, out, _ = self.tail("--meeting", str(self.row["id"]), "--since", "deadbeef-9")
        self.assertEqual(status, 0)
        self.assertIn("-- reset: ", out.splitlines()[0])

    def test_refusals(self):
        self.assertEqual(self.tail("--meeting", "987654"),
                         (1, "", "vexa: refused: not authorized for this meeting (status 403)\n"))
        self.assertEqual(self.tail("--meeting", "1", key="wrong"), (1, "", "vexa: refused: Invalid API key (status 401)\n"))
        status, _, err = self.tail("--path", "/agent/meeting/stream?meeting_id=1&session_uid=1&replay=x")
        self.assertEqual(status, 1)
        self.assertRegex(err, r"^vexa: refused: replay: .* \(status 422\)\n$")
        self.assertEqual(self.tail("--path", "/nowhere"), (1, "", "vexa: refused: Not Found (status 404)\n"))
        self.assertEqual(self.tail("--path", "/health"), (1, "", "vexa: refused: the answer is not an event stream\n"))
        for args in ((), ("--meeting", "1", "--user"), ("--path", "x"), ("--user", "--session", "1"), ("x",)):
            self.assertEqual(self.tail(*args)[0], 100, args)

    def test_once(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as closed:
            url = "http://127.0.0.1:%d" % closed.server_address[1]
        status, out, err = self.tail("--url", url, "--user", "--once")
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(err, "^vexa: no stream: ")


class Script(http.server.BaseHTTPRequestHandler):
    """A server that answers each request with the next line of its script: (status, headers, body)."""

    def do_GET(self):
        s = self.server
        s.asked.append((time.monotonic(), self.headers.get("Last-Event-ID"), self.headers.get("X-API-Key")))
        status, headers, body = s.script[min(len(s.asked), len(s.script)) - 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Interruptions(TestCase):
    """vexa tail against a server that does everything a server may do."""

    SSE = {"Content-Type": "text/event-stream; charset=utf-8"}

    def run_script(self, script, *args):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Script) as server:
            server.daemon_threads, server.script, server.asked = True, script, []
            threading.Thread(target=server.serve_forever, daemon=True).start()
            out = subprocess.run(
                [os.environ["VEXA_BINARY"], "tail", "--url", "http://127.0.0.1:%d" % server.server_address[1], "--path",
                 "/s?a=b", "--json", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                stdin=subprocess.DEVNULL, timeout=60 * SLOW, env=dict(os.environ, VEXA_API_KEY="the-key"))
            server.shutdown()
        ids = [json.loads(l)["id"] for l in out.stdout.splitlines()]
        return out.returncode, ids, out.stderr, server.asked

    def test_comes_back_until_there_is_no_more(self):
        status, ids, err, asked = self.run_script([
            (503, {"Retry-After": "1"}, b'{"detail":"not now"}'),
            (200, self.SSE, b"\xef\xbb\xbfretry: 700\r\nid: e-0\r\n\r\nid: e-1\r\ndata: {}\r\n\r\nid: e-2\r\ndata: {"),
            (429, {"Retry-After": "2"}, b"{}"),
            (200, dict(self.SSE, **{"Content-Length": "1000"}), b"id: e-2\ndata: {}\n\nid: e-3\n"),
            (200, self.SSE, b": nothing new\n\n"),
            (204, {}, b"")])
        self.assertEqual((status, ids), (0, ["e-1", "e-2"]), err)
        self.assertEqual([a[1] for a in asked], [None, None, "e-1", "e-1", "e-2", "e-2"])
        self.assertEqual({a[2] for a in asked}, {"the-key"})
        pauses = [b[0] - a[0] for a, b in zip(asked, asked[1:])]
        for pause, least in zip(pauses, (1, 0.7, 2, 0.7, 0.7)):
            self.assertTrue(least <= pause < least * 1.25 + 1 * SLOW, pauses)
        self.assertIn("not now (status 503)", err)

    def test_final_refusals(self):
        for code in (400, 401, 403, 404, 410, 422, 501):
            status, _, err, asked = self.run_script([(code, {}, b'{"detail":"no \\u001b[2J way"}')])
            self.assertEqual((status, err, len(asked)), (1, "vexa: refused: no [2J way (status %d)\n" % code, 1))
        listed = b'{"detail":[{"type":"missing","loc":["query","session_uid"],"msg":"Field required"}]}'
        self.assertEqual(self.run_script([(422, {}, listed)])[2],
                         "vexa: refused: session_uid: Field required (status 422)\n")
        self.assertEqual(self.run_script([(403, {}, b"<html>")])[2], "vexa: refused: status 403\n")
        self.assertEqual(self.run_script([(200, {"Content-Type": "text/html"}, b"<html>")])[0], 1)

    def test_once(self):
        one = b"id: e-1\ndata: {}\n\n"
        self.assertEqual(self.run_script([(200, self.SSE, one)], "--once")[:2], (0, ["e-1"]))
        short = dict(self.SSE, **{"Content-Length": "1000"})
        self.assertEqual(self.run_script([(200, short, one)], "--once")[:2], (1, ["e-1"]))
        self.assertEqual(self.run_script([(503, {}, b"")], "--once")[:2], (1, []))

    def test_since_goes_with_the_first_request(self):
        asked = self.run_script([(204, {}, b"")], "--since", "e-7")[3]
        self.assertEqual([a[1] for a in asked], ["e-7"])
