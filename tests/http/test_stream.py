"""Event streams: order, resuming at every place, refusals, silence, and how they end."""

import json
import os
import stat
import threading
import time

from harness import SLOW, Instance, TestCase, vtt

CUES = [(i, i + 1, "AB"[i % 2], "line number %d" % i) for i in range(8)]


def events(frames):
    return [f for f in frames if f[0]]


def number(ident):
    return int(ident.rsplit("-", 1)[1])


class Resume(TestCase):
    """One ended meeting, read in every way."""

    @classmethod
    def setUpClass(cls):
        from harness import shared
        vexa = shared()
        cls.user = vexa.new_user()
        cls.key = vexa.new_key(cls.user)
        vexa.recording("google_meet", "str-eams-one", vtt(CUES))
        cls.row = vexa.send_bot("str-eams-one", key=cls.key)
        # Streams opened before, during and after; all must tell the same.
        cls.told, threads = [], []
        for _ in range(4):
            s = vexa.meeting_stream(cls.row["id"], key=cls.key)
            t = threading.Thread(target=lambda s=s: cls.told.append(list(s.frames())))
            t.start()
            threads.append(t)
            time.sleep(0.05)
        vexa.wait_status(cls.row["id"], ("completed", "failed"), key=cls.key)
        for t in threads:
            t.join(30 * SLOW)
        cls.whole = events(vexa.meeting_stream(cls.row["id"], key=cls.key).frames())
        cls.epoch = cls.whole[0][0].rsplit("-", 1)[0]

    def open(self, last_id=None, query="", **kw):
        return self.vexa.meeting_stream(self.row["id"], key=self.key, last_id=last_id, query=query, **kw)

    def test_head(self):
        s = self.open()
        self.assertEqual(s.status, 200)
        head = s.headers()
        self.assertEqual(head["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(head["cache-control"], "no-cache")
        self.assertNotIn("content-length", head)
        next(s.frames())
        self.assertEqual(s.armed, self.epoch + "-0")
        s.close()

    def test_same_for_early_and_late(self):
        self.assertEqual(len(self.told), 4)
        for told in self.told:
            self.assertEqual(events(told), self.whole)

    def test_order(self):
        numbers = [number(i) for i, _ in self.whole]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(self.whole[-1][1], {"type": "meeting-end"})
        self.assertGreaterEqual(len(self.whole), len(CUES))

    def test_resume_after_each(self):
        for i, (ident, _) in enumerate(self.whole[:-1]):
            s = self.open(last_id=ident)
            self.assertEqual(list(s.frames()), self.whole[i + 1:])
            self.assertEqual(s.armed, ident)

    def test_resume_between_numbers(self):
        """Ids of other topics are places as good as ours."""
        for (a, _), (b, _) in zip(self.whole, self.whole[1:]):
            for n in range(number(a), number(b)):
                rest = list(self.open(last_id="%s-%d" % (self.epoch, n)).frames())
                self.assertEqual(rest[0][0], b)

    def test_resume_by_query(self):
        ident = self.whole[3][0]
        self.assertEqual(list(self.open(query="&lastEventId=" + ident).frames()), self.whole[4:])
        # The header wins.
        s = self.open(last_id=self.whole[5][0], query="&lastEventId=" + ident)
        self.assertEqual(list(s.frames()), self.whole[6:])

    def test_past_the_end(self):
        end = self.whole[-1][0]
        r = self.vexa.get("/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.row["id"], self.row["id"]),
                          key=self.key, headers={"Last-Event-ID": end})
        self.assertEqual((r.status, r.body), (204, b""))
        self.assertEqual(self.open(query="&replay=0").status, 204)

    def test_garbage_starts_anew(self):
        for text in ("garbage", "-", "0-0|1|2", self.epoch, self.epoch + "-", self.epoch + "-1x", self.epoch + "--1",
                     self.epoch + "-01", "\u00e9-1".encode().decode("latin-1"), "x" * 3000):
            self.assertEqual(list(self.open(last_id=text).frames()), self.whole, text)

    def test_foreign_and_future_reset(self):
        for text in ("otherepoch-%d" % number(self.whole[2][0]), self.epoch + "-99999999999", self.epoch + "-" + "9" * 25):
            s = self.open(last_id=text)
            frames = list(s.frames())
            self.assertEqual(frames[0], (None, {"type": "reset"}), text)
            self.assertEqual(frames[1:], self.whole, text)

    def test_replay(self):
        for n in (1, 3, len(self.whole), len(self.whole) + 5):
            self.assertEqual(list(self.open(query="&replay=%d" % n).frames()), self.whole[-n:])
        # A cursor bounds more than replay does.
        s = self.open(last_id=self.whole[2][0], query="&replay=1")
        self.assertEqual(list(s.frames()), self.whole[3:])
        self.assertEqual(self.open(query="&replay=-1").status, 422)
        self.assertEqual(self.open(query="&replay=x").status, 422)

    def test_names(self):
        """Row id or native id, in both places."""
        row = str(self.row["id"])
        for meeting in (row, "str-eams-one"):
            for session in (row, "str-eams-one"):
                s = self.vexa.stream("/agent/meeting/stream?meeting_id=%s&session_uid=%s" % (meeting, session), key=self.key)
                self.assertEqual(list(s.frames()), self.whole)

    def test_refusals(self):
        row = self.row["id"]
        other = self.vexa.key_of_new_user()
        path = "/agent/meeting/stream?meeting_id=%s&session_uid=%s"
        for meeting in (row, 10**9, 10**30, 0, -1, "no-such-meet", "%20", ""):
            r = self.vexa.get(path % (meeting, meeting), key=other)
            self.assertEqual((r.status, r.json["detail"]), (403, "not authorized for this meeting"), meeting)
            self.assertEqual(r.json["code"], "meeting_forbidden")
        for session in ("x", row + 1, "", "str-eams-on", "0%d" % row):
            r = self.vexa.get(path % (row, session), key=self.key)
            self.assertEqual((r.status, r.json["detail"]), (403, "session_uid does not match this meeting"))
        for query in ("", "?meeting_id=%d" % row, "?session_uid=%d" % row):
            self.assertEqual(self.vexa.get("/agent/meeting/stream" + query, key=self.key).status, 422)
        self.assertEqual(self.vexa.get(path % (row, row), key="vxa_bot_unknown").status, 401)

    def test_head_request(self):
        r = self.vexa.request("HEAD", "/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.row["id"], self.row["id"]),
                              key=self.key)
        self.assertEqual((r.status, r.body), (200, b""))


class Live(TestCase):
    """Streams of a meeting in which nothing is said for as long as the test needs."""

    def setUp(self):
        self.user = self.vexa.new_user()
        self.key = self.vexa.new_key(self.user)
        self.native = "liv-%d" % time.monotonic_ns()
        self.vexa.recording("google_meet", self.native, vtt([(0, 1, "A", "x"), (36000, 36001, "A", "y")]))
        self.row = self.vexa.send_bot(self.native, key=self.key)
        self.vexa.wait_status(self.row["id"], "active", key=self.key)

    def tearDown(self):
        key = self.vexa.new_key(self.user)
        self.vexa.delete("/bots/google_meet/" + self.native, key=key)
        self.vexa.wait_status(self.row["id"], ("completed", "failed"), key=key)

    def open(self, key=None, **kw):
        s = self.vexa.meeting_stream(self.row["id"], key=key or self.key, **kw)
        self.assertEqual(s.status, 200)
        return s

    def test_ping(self):
        """Fifteen seconds of silence are broken by a frame without an id; the cursor stays."""
        s = self.open(timeout=40)
        began = time.monotonic()
        for ident, data in s.frames():
            if data == {"type": "ping"}:
                break
        self.assertEqual((ident, data), (None, {"type": "ping"}))
        self.assertGreater(time.monotonic() - began, 10)
        self.assertLess(time.monotonic() - began, 20 * SLOW)
        last = s.last_id
        s.close()
        s = self.open(last_id=last, timeout=1)
        self.assertEqual(list(s.frames()), [])
        self.assertEqual(s.armed, last)
        s.close()

    def ends_within(self, stream, seconds):
        began = time.monotonic()
        raw = stream.answer.read()
        self.assertLess(time.monotonic() - began, seconds * SLOW)
        retry = [l for l in raw.split(b"\n") if l.startswith(b"retry: ")]
        self.assertEqual(len(retry), 1, raw[-200:])
        self.assertTrue(500 <= int(retry[0][7:]) <= 3000)

    def test_revoked_key(self):
        r = self.vexa.as_admin("POST", "/admin/users/%d/tokens" % self.user, {"scopes": ["tx"]})
        s, other = self.open(key=r.json["token"]), self.open(timeout=4 / SLOW)
        time.sleep(1.2)
        self.assertEqual(self.vexa.as_admin("DELETE", "/admin/tokens/%d" % r.json["id"]).status, 204)
        self.ends_within(s, 2)
        self.assertNotIn(b"retry:", b"".join(self.rest(other)))
        other.close()

    @staticmethod
    def rest(stream):
        while True:
            try:
                line = stream.answer.readline()
            except OSError:
                return
            if not line:
                raise AssertionError("the stream ended")
            yield line

    def test_expired_key(self):
        key = self.vexa.new_key(self.user, ["tx"], expires_in=2)
        self.ends_within(self.open(key=key), 5)

    def test_leaving_frees_the_place(self):
        for _ in range(30):
            self.open().close()
        s = self.open(timeout=1 / SLOW)
        self.assertTrue(list(s.frames()))
        s.close()


BOT = """#!/bin/sh
printf '%%s' "$VEXA_BOT_CONFIG" > %s.part && mv %s.part %s
exec sleep 600
"""


class Limits(TestCase):
    """An instance with small limits and a bot that only says what it was given."""

    @classmethod
    def setUpClass(cls):
        cls.own = Instance(start=False, config={"stream.max": 4, "stream.max_per_user": 3, "stream.max_seconds": 3})
        cls.given = os.path.join(cls.own.tmp, "given.json")
        bot = os.path.join(cls.own.tmp, "bot.sh")
        with open(bot, "w") as f:
            f.write(BOT % (cls.given, cls.given, cls.given))
        os.chmod(bot, stat.S_IRWXU)
        cls.own.config["bots.google_meet"] = bot
        cls.own.start()

    @classmethod
    def tearDownClass(cls):
        reports = cls.own.remove()
        assert not reports, reports

    def test_bot_commands(self):
        v = self.own
        row = v.send_bot("tell-abot-now")
        end = time.monotonic() + 20 * SLOW
        while not os.path.exists(self.given) and time.monotonic() < end:
            time.sleep(0.05)
        with open(self.given) as f:
            config = json.load(f)
        token = next(config[k] for k in ("token", "authToken", "meetingToken") if k in config)
        session = config["connectionId"]
        path = "/bots/internal/commands?session_uid="
        self.assertEqual(v.request("GET", path + session).status, 401)
        for wrong in ("nobody", "", session[:-1]):
            r = v.request("GET", path + wrong, headers={"X-Meeting-Token": token})
            self.assertEqual((r.status, r.json["detail"]), (403, "Meeting token does not match this meeting"))

        def commands(**kw):
            return v.stream(path + session, key="", headers={"X-Meeting-Token": token}, **kw)

        early = commands(timeout=20)
        self.assertEqual(early.status, 200)
        self.assertEqual(v.delete("/bots/google_meet/tell-abot-now").status, 204)
        leave = {"action": "leave", "meeting_id": row["id"]}
        first = next(early.frames())
        self.assertEqual(first[1], leave)
        early.close()
        late = commands(timeout=20)
        self.assertEqual(next(late.frames()), first, "a bot that connects late is told as well")
        late.close()
        s = commands(last_id=first[0], timeout=20)
        self.assertEqual(list(s.frames()), [], "told once; the planned end closes the stream")

    def test_capacity_and_planned_end(self):
        v = self.own
        row = v.send_bot("limits-of-all")
        path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (row["id"], row["id"])
        mine = [v.meeting_stream(row["id"]) for _ in range(3)]
        self.assertEqual([s.status for s in mine], [200] * 3)
        r = v.get(path)
        self.assertEqual((r.status, r.json["code"]), (429, "rate_limited"))
        self.assertTrue(int(r.headers["retry-after"]) > 0)
        key = v.key_of_new_user()
        other = v.send_bot("limits-of-two", key=key)
        fourth = v.meeting_stream(other["id"], key=key)
        self.assertEqual(fourth.status, 200)
        r = v.get("/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (other["id"], other["id"]), key=key)
        self.assertEqual((r.status, r.json["code"]), (503, "stream_capacity"))
        self.assertTrue(int(r.headers["retry-after"]) > 0)
        began = time.monotonic()
        raw = mine[0].answer.read()
        self.assertLess(time.monotonic() - began, 6 * SLOW)
        self.assertIn(b"\nretry: ", raw)
        for s in mine[1:] + [fourth]:
            s.answer.read()
        self.assertEqual(v.meeting_stream(row["id"]).status, 200)
