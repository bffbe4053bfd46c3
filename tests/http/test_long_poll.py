"""The long-poll form of the streams: ?wait= and ?since= on the same URLs."""

import json
import sqlite3
import threading
import time

from harness import SLOW, Instance, TestCase, vtt

CUES = [(i, i + 1, "AB"[i % 2], "line number %d" % i) for i in range(8)]


def path(meeting, wait, since=None, more=""):
    return "/agent/meeting/stream?meeting_id=%s&session_uid=%s&wait=%s%s%s" % (
        meeting, meeting, wait, "" if since is None else "&since=" + since, more)


def number(ident):
    return int(ident.rsplit("-", 1)[1])


class Ended(TestCase):
    """A meeting that is over: every cursor has one answer."""

    @classmethod
    def setUpClass(cls):
        from harness import shared
        vexa = shared()
        cls.key = vexa.key_of_new_user()
        vexa.recording("google_meet", "pol-ling-one", vtt(CUES))
        cls.row = vexa.send_bot("pol-ling-one", key=cls.key)["id"]
        cls.followed = []
        since = None
        while True:
            r = vexa.get(path(cls.row, 25, since), key=cls.key)
            assert r.status == 200, r
            cls.followed += r.json["events"]
            since = r.json["next_since"]
            if r.json["end"]:
                break
        cls.whole = [f for f in vexa.meeting_stream(cls.row, key=cls.key).frames() if f[0]]
        cls.epoch = cls.whole[0][0].rsplit("-", 1)[0]

    def poll(self, wait=0, since=None, more="", **kw):
        r = self.vexa.get(path(self.row, wait, since, more), key=self.key, **kw)
        self.assertEqual(r.status, 200, r)
        self.assertEqual(r.headers["content-type"], "application/json")
        self.assertEqual(set(r.json), {"events", "next_since", "end"})
        return r.json

    def pairs(self, answer):
        return [(e["id"], e["data"]) for e in answer["events"]]

    def test_follows_like_a_stream(self):
        self.assertEqual([(e["id"], e["data"]) for e in self.followed], self.whole)

    def test_from_every_cursor(self):
        for n in range(number(self.whole[0][0]) - 1, number(self.whole[-1][0])):
            a = self.poll(55, "%s-%d" % (self.epoch, n))
            self.assertEqual(self.pairs(a), [f for f in self.whole if number(f[0]) > n])
            self.assertEqual((a["next_since"], a["end"]), (self.whole[-1][0], True))

    def test_fresh_and_replay(self):
        self.assertEqual(self.pairs(self.poll(0)), self.whole)
        self.assertEqual(self.pairs(self.poll(0, "")), self.whole)
        self.assertEqual(self.pairs(self.poll(0, more="&replay=3")), self.whole[-3:])
        a = self.poll(30, more="&replay=0")
        self.assertEqual((a["events"], a["end"]), ([], True))

    def test_cursor_of_a_stream(self):
        """Without since, what a stream's client sends counts; since wins."""
        head = {"Last-Event-ID": self.whole[2][0]}
        self.assertEqual(self.pairs(self.poll(0, headers=head)), self.whole[3:])
        self.assertEqual(self.pairs(self.poll(0, self.whole[4][0], headers=head)), self.whole[5:])

    def test_past_the_end(self):
        end = self.whole[-1][0]
        self.assertEqual(self.poll(55, end), {"events": [], "next_since": end, "end": True})

    def test_foreign_and_future_reset(self):
        for text in ("otherepo-3", self.epoch + "-99999999999"):
            self.assertEqual(self.pairs(self.poll(0, text)), [(None, {"type": "reset"})] + self.whole)

    def test_refused(self):
        for text in ("garbage", "-", self.epoch, self.epoch + "-1x", self.epoch + "--1"):
            for p in (path(self.row, 0, text), path(10**9, 0, text),
                      "/meetings/stream?wait=0&since=" + text):
                r = self.vexa.get(p, key=self.key)
                self.assertEqual(r.status, 422, text)
                self.assertEqual(r.json["detail"][0]["loc"], ["query", "since"])
        for wait in ("-1", "56", "x", "1.5", ""):
            r = self.vexa.get(path(self.row, wait), key=self.key)
            self.assertEqual(r.json["detail"][0]["loc"], ["query", "wait"], r)
        r = self.vexa.get("/meetings/stream?since=" + self.whole[0][0], key=self.key)
        self.assertEqual((r.status, r.json["detail"][0]["loc"]), (422, ["query", "since"]))
        self.assertEqual(self.vexa.get(path(self.row, 5), key="vxa_bot_unknown").status, 401)
        self.assertEqual(self.vexa.get(path(self.row, 5), key=self.vexa.key_of_new_user()).status, 403)

    def test_head(self):
        r = self.vexa.request("HEAD", path(self.row, 20), key=self.key)
        self.assertEqual((r.status, r.body, r.headers["content-type"]), (200, b"", "application/json"))


class Waiting(TestCase):
    """Polls that wait: on meetings without events of their own making."""

    @classmethod
    def setUpClass(cls):
        cls.own = Instance(speed=1, config={"stream.max_per_user": "40"})
        cls.own.recording("google_meet", "wai-ting-one", vtt([(100, 101, "A", "late")]))

    @classmethod
    def tearDownClass(cls):
        reports = cls.own.remove()
        assert not reports, reports

    @property
    def vexa(self):
        return self.own

    def setUp(self):
        self.user = self.own.new_user()
        self.key = self.own.new_key(self.user)
        self.row = self.own.send_bot("wai-ting-one", key=self.key)["id"]
        self.own.wait_status(self.row, "active", key=self.key)
        self.tip = self.own.get(path(self.row, 0), key=self.key).json["next_since"]

    def tearDown(self):
        self.own.delete("/bots/google_meet/wai-ting-one", key=self.key)
        self.own.wait_status(self.row, ("completed", "failed"), key=self.key)

    def append(self, topic, n=1, text="{}"):
        """Events written by another process."""
        db = sqlite3.connect(self.own.dir + "/vexa.db", timeout=10)
        with db:
            for i in range(n):
                db.execute("INSERT INTO events(ts, topic, type, data) VALUES(?, ?, 'test', ?)",
                           (int(time.time() * 1000), topic, json.dumps({"type": "test", "i": i, "x": text})))
        db.close()

    def test_waits_as_long_as_asked(self):
        for wait in (0, 1, 2):
            began = time.monotonic()
            a = self.own.get(path(self.row, wait, self.tip), key=self.key).json
            took = time.monotonic() - began
            self.assertEqual((a["events"], a["end"]), ([], False))
            self.assertGreaterEqual(number(a["next_since"]), number(self.tip))
            self.assertTrue(wait <= took < wait + 0.5 * SLOW, took)

    def test_thirty_wait_and_no_thread_does(self):
        """More polls than worker threads; others are served meanwhile; one event answers all."""
        got = []

        def one():
            r = self.own.get(path(self.row, 30, self.tip), key=self.key, timeout=40)
            got.append((time.monotonic(), r.json))

        threads = [threading.Thread(target=one) for _ in range(30)]
        for t in threads:
            t.start()
        time.sleep(0.5 * SLOW)
        self.assertEqual(got, [])
        self.assertEqual(self.own.get("/auth/me", key=self.key).status, 200)
        began = time.monotonic()
        self.append("meeting/%d" % self.row)
        for t in threads:
            t.join(10 * SLOW)
        self.assertEqual(len(got), 30)
        self.assertEqual({json.dumps(a) for _, a in got}, {json.dumps(got[0][1])})
        self.assertEqual([e["data"]["i"] for e in got[0][1]["events"]], [0])
        self.assertLess(max(t for t, _ in got) - began, 1.0 * SLOW)

    def test_at_most_500_and_nothing_lost(self):
        self.append("meeting/%d" % self.row, 1203)
        since, seen, sizes = self.tip, [], []
        while len(seen) < 1203:
            a = self.own.get(path(self.row, 0, since), key=self.key).json
            sizes.append(len(a["events"]))
            seen += [e["data"]["i"] for e in a["events"]]
            self.assertEqual(a["next_since"], a["events"][-1]["id"])
            since = a["next_since"]
        self.assertEqual(seen, list(range(1203)))
        self.assertEqual(max(sizes), 500)

    def test_large_events(self):
        """An answer stops growing at about 1 MiB."""
        self.append("meeting/%d" % self.row, 12, "y" * 300000)
        since, seen = self.tip, []
        while len(seen) < 12:
            r = self.own.get(path(self.row, 0, since), key=self.key)
            self.assertLess(len(r.body), 2 << 20)
            seen += [e["data"]["i"] for e in r.json["events"]]
            since = r.json["next_since"]
        self.assertEqual(seen, list(range(12)))

    def test_several_topics(self):
        self.append("meeting/%d" % self.row, 300)
        self.append("user/%d" % self.user, 300)
        self.append("meeting/%d" % self.row, 300)
        since, seen = self.tip, []
        while len(seen) < 900:
            a = self.own.get("/meetings/stream?topics=user,meeting/%d&wait=0&since=%s" % (self.row, since),
                             key=self.key).json
            self.assertLessEqual(len(a["events"]), 500)
            seen += [(number(e["id"]), e["data"]["topic"]) for e in a["events"]]
            since = a["next_since"]
        self.assertEqual(len(seen), 900)
        self.assertEqual([n for n, _ in seen], sorted({n for n, _ in seen}))
        self.assertEqual([t for _, t in seen][299:301], ["meeting/%d" % self.row, "user/%d" % self.user])

    def test_feed(self):
        a = self.own.get("/meetings/stream?wait=0", key=self.key).json
        self.assertEqual([e["data"]["meeting_id"] for e in a["events"]], [self.row] * len(a["events"]))
        self.assertGreater(len(a["events"]), 0)

    def test_limit_and_key(self):
        threads = [threading.Thread(target=self.own.get, args=(path(self.row, 8, self.tip),),
                                    kwargs={"key": self.key, "timeout": 20}) for _ in range(40)]
        for t in threads:
            t.start()
        time.sleep(0.7 * SLOW)
        r = self.own.get(path(self.row, 8, self.tip), key=self.key)
        self.assertEqual((r.status, r.json["limit"]), (429, 40))
        self.append("meeting/%d" % self.row)
        for t in threads:
            t.join()
        # A poll ends when its key does.
        key = self.own.new_key(self.user)
        tip = self.own.get(path(self.row, 0), key=key).json["next_since"]
        last = max(t["id"] for t in self.own.as_admin("GET", "/admin/users/%d/tokens" % self.user).json)
        timer = threading.Timer(0.5, self.own.as_admin, ("DELETE", "/admin/tokens/%d" % last))
        timer.start()
        began = time.monotonic()
        r = self.own.get(path(self.row, 30, tip), key=key, timeout=40)
        self.assertEqual((r.status, r.json["events"]), (200, []))
        self.assertLess(time.monotonic() - began, 4 * SLOW)
        self.assertEqual(self.own.get(path(self.row, 30, tip), key=key).status, 401)

    def test_restart(self):
        """A poll that waits is answered when the responder ends; the next one goes on."""
        got = []
        t = threading.Thread(target=lambda: got.append(self.own.get(path(self.row, 30, self.tip), key=self.key)))
        t.start()
        time.sleep(0.3)
        old = self.own.kill("fcgi", 15)
        t.join(10 * SLOW)
        self.assertEqual((got[0].status, got[0].json["events"], got[0].json["end"]), (200, [], False))
        self.own.wait_new_pid("fcgi", old)
        self.own.wait_ready()
        self.append("meeting/%d" % self.row)
        a = self.own.get(path(self.row, 30, got[0].json["next_since"]), key=self.key).json
        self.assertEqual(len(a["events"]), 1)
