"""The log is trimmed: streams say gap for exactly the hole, never without one, and end all the same."""

import json
import os
import time

from harness import SLOW, Instance, TestCase

KEEP = 40


def number(ident):
    return int(ident.rsplit("-", 1)[1])


class Trimmed(TestCase):
    """An instance that keeps 40 events of a topic and sweeps every second."""

    @classmethod
    def setUpClass(cls):
        from harness import shared
        folder = shared().dir
        cls.folder = folder
        script = os.path.join(folder, "retention-bot")
        with open(script, "w") as f:
            f.write('#!/bin/sh\nid=${VEXA_BOT_CONFIG##*\\"meeting_id\\":}\nid=${id%%%%[,\\}]*}\n'
                    'printf %%s "$VEXA_BOT_CONFIG" > %s/retention-$id.new\n'
                    'mv %s/retention-$id.new %s/retention-$id.json\nexec sleep 600\n' % (folder, folder, folder))
        os.chmod(script, 0o755)
        cls.own = Instance(config={"bots.google_meet": script, "retention.events_per_topic": KEEP, "retention.sweep_seconds": 1})

    @classmethod
    def tearDownClass(cls):
        reports = cls.own.remove()
        assert not reports, reports

    def meeting(self, native):
        row = self.own.send_bot(native)
        path = os.path.join(self.folder, "retention-%d.json" % row["id"])
        end = time.monotonic() + 20 * SLOW
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.05)
        with open(path) as f:
            self.config = json.load(f)
        return row["id"]

    def post(self, path, body):
        r = self.own.request("POST", path, body=body, headers={"X-Meeting-Token": self.config["token"]})
        self.assertEqual(r.status, 200, r)
        return r.json

    def say(self, first, n):
        segments = [{"segment_id": "s%d" % i, "start": i, "end": i + 1, "speaker": "A", "text": "t%d" % i, "completed": True}
                    for i in range(first, first + n)]
        return self.post("/bots/internal/transcripts", {"segments": segments})["cursor"]

    def state(self, status, **more):
        self.post("/bots/internal/callback/lifecycle", dict({"connection_id": self.config["connectionId"], "status": status}, **more))

    def whole(self, meeting_id, **kw):
        """All frames until silence or the end, of a stream opened now."""
        s = self.own.meeting_stream(meeting_id, timeout=0.8 if SLOW == 1 else 0.4, **kw)
        frames = list(s.frames()) if s.status == 200 else []
        s.close()
        return s, frames

    def wait_trimmed(self, meeting_id):
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            s, frames = self.whole(meeting_id)
            if len([f for f in frames if f[0]]) == KEEP:
                return s, frames
        self.fail("never trimmed: %d frames" % len(frames))

    def test_gap(self):
        m = self.meeting("ret-enti-one")
        before = [f for f in self.whole(m)[1] if f[0]]
        old = before[-1][0]
        live = self.own.meeting_stream(m, last_id=old, timeout=30)
        mid = self.say(0, 60)
        tip = self.say(60, 60)
        # A fresh connect begins with the gap, and the armed id is before it.
        s, frames = self.wait_trimmed(m)
        epoch = tip.rsplit("-", 1)[0]
        self.assertEqual(s.armed, epoch + "-0")
        kept = frames[1:]
        self.assertEqual(frames[0][0], None)
        self.assertEqual(frames[0][1], {"type": "gap", "after": epoch + "-0", "oldest": "%s-%d" % (epoch, number(kept[0][0]))})
        self.assertEqual([f["id"] for _, f in kept], ["s%d" % i for i in range(80, 120)])
        # Below the floor: the gap covers exactly the hole; from the floor on: none.
        s, got = self.whole(m, last_id=mid)
        self.assertEqual(s.armed, mid)
        self.assertEqual(got[0][1], {"type": "gap", "after": mid, "oldest": kept[0][0]})
        self.assertEqual(got[1:], kept)
        for cut in (0, 5, KEEP - 2):
            self.assertEqual(self.whole(m, last_id=kept[cut][0])[1], kept[cut + 1:])
        floor = "%s-%d" % (epoch, number(kept[0][0]) - 1)
        self.assertEqual(self.whole(m, last_id=floor)[1], kept, "the newest trimmed event was seen: no hole")
        self.assertEqual(self.whole(m, query="&replay=%d" % KEEP)[1], kept)
        self.assertEqual(self.whole(m, query="&replay=3")[1], kept[-3:])
        self.assertEqual(self.whole(m, query="&replay=%d" % (KEEP + 1))[1][0][1]["type"], "gap")
        # The stream that was there all the time saw everything and no gap.
        seen = []
        for f in live.frames():
            seen.append(f)
            if f[0] == tip:
                break
        live.close()
        self.assertEqual([f["id"] for _, f in seen if f["type"] == "transcript"], ["s%d" % i for i in range(120)])
        self.assertNotIn("gap", [f["type"] for _, f in seen])
        # Merged: the gap names its topic, the feed lost nothing.
        s = self.own.stream("/meetings/stream?topics=user,meeting/%d" % m, last_id=mid, timeout=10)
        ident, gap = next(s.frames())
        self.assertEqual((ident, gap), (None, {"type": "gap", "after": mid, "oldest": kept[0][0], "topic": "meeting/%d" % m}))
        got = []
        for f in s.frames():
            got.append(f)
            if len(got) == KEEP:
                break
        s.close()
        self.assertEqual(got, [(i, dict(f, topic="meeting/%d" % m)) for i, f in kept])
        # A transcript is whole whatever the log is; what was taken back is not known any more.
        r = self.own.get("/transcripts/by-id/%d?since=%s" % (m, mid)).json
        self.assertEqual((len(r["segments"]), r["retracted"], r["reset"]), (120, [], True))
        r = self.own.get("/transcripts/by-id/%d?since=%s" % (m, kept[9][0])).json
        self.assertEqual(([x["segment_id"] for x in r["segments"]], r["retracted"]), (["s%d" % i for i in range(90, 120)], []))
        self.assertNotIn("reset", r)

    def test_slow_reader(self):
        """A client that stops reading is trimmed away from under, and told exactly of what it missed."""
        m = self.meeting("ret-enti-slo")
        s = self.own.meeting_stream(m, timeout=30)
        frames = s.frames()
        seen = [next(frames)]
        said = []
        for part in range(12):  # 11 MB: more than all buffers on the way
            segments = [{"segment_id": "w%d" % i, "start": i, "end": i + 1, "speaker": "A", "text": "%d " % i + "w" * 15000, "completed": True}
                        for i in range(part * 60, part * 60 + 60)]
            said.append(number(self.post("/bots/internal/transcripts", {"segments": segments})["cursor"]))
        self.wait_trimmed(m)
        for f in frames:
            seen.append(f)
            if f[0] and number(f[0]) == said[-1]:
                break
        s.close()
        ids = [f["id"] for i, f in seen if f["type"] == "transcript"]
        at = next(n for n, (_, f) in enumerate(seen) if f["type"] == "gap")
        self.assertEqual([f["type"] for _, f in seen].count("gap"), 1)
        lost = 720 - len(ids)
        first = int(seen[at + 1][1]["id"][1:])
        self.assertGreater(lost, 0)
        self.assertEqual(ids, ["w%d" % i for i in list(range(first - lost)) + list(range(first, 720))])
        self.assertEqual(seen[at][1], {"type": "gap", "after": seen[at - 1][0], "oldest": seen[at + 1][0]})

    def test_end_that_was_trimmed(self):
        m = self.meeting("ret-enti-two")
        early = self.say(0, 5)
        self.state("joining")
        self.state("active")
        self.state("completed", completion_reason="left_alone")
        end = [f for f in self.whole(m)[1] if f[0]][-1]
        self.assertEqual(end[1]["type"], "meeting-end")
        self.say(5, KEEP + 5)  # said after the end: pushes the end out of the log
        limit = time.monotonic() + 20 * SLOW
        while time.monotonic() < limit:
            # a stream that is open at the very moment of the trim hears of the gap and is ended: it
            # asks again, as every client does
            s, got = self.whole(m)
            if [f["type"] for _, f in got] == ["gap", "meeting-end"]:
                break
        self.assertEqual([f["type"] for _, f in got], ["gap", "meeting-end"])
        self.assertGreaterEqual(number(got[1][0]), number(end[0]))
        self.assertEqual(number(got[0][1]["oldest"]), number(got[1][0]) + 1)
        self.assertEqual(s.headers()["content-type"], "text/event-stream; charset=utf-8")
        s, again = self.whole(m, last_id=early)
        self.assertEqual((s.armed, again[0][1]["after"], again[1]), (early, early, got[1]))
        self.assertEqual(self.whole(m, last_id=got[1][0])[0].status, 204)
        self.assertEqual(len(self.own.get("/transcripts/by-id/%d" % m).json["segments"]), KEEP + 10)


class Age(TestCase):
    def test_age(self):
        """Events of two seconds go: the meeting's, the feed's."""
        own = Instance(config={"retention.events_seconds": 2, "retention.sweep_seconds": 1})
        try:
            row = own.send_bot("age-ofev-ents", bot_name="mock:reject")
            own.wait_status(row["id"], ("completed", "failed"))
            tip = own.get("/transcripts/by-id/%d" % row["id"]).json["next_since"]
            feed = own.stream("/meetings/stream?replay=0", timeout=30)
            end = time.monotonic() + 20 * SLOW
            got = []
            while time.monotonic() < end and [f["type"] for _, f in got] != ["gap", "meeting-end"]:
                s = own.meeting_stream(row["id"], timeout=20)
                got = list(s.frames())
            self.assertEqual([(i and number(i) <= number(tip), f["type"]) for i, f in got], [(None, "gap"), (True, "meeting-end")])
            self.assertEqual(own.meeting_stream(row["id"], last_id=tip).status, 204)
            # The feed: who was there lost nothing; who begins now is told of the hole, then of what comes.
            late = own.stream("/meetings/stream", timeout=30)
            frames = late.frames()
            gap = next(frames)
            self.assertEqual((gap[0], gap[1]["type"], number(gap[1]["after"])), (None, "gap", 0))
            again = own.send_bot("age-ofev-ents", bot_name="mock:reject")
            for got in (next(feed.frames()), next(frames)):
                self.assertEqual((got[1]["type"], got[1]["meeting_id"]), ("meeting.status", again["id"]))
                self.assertGreaterEqual(number(got[0]), number(gap[1]["oldest"]))
            feed.close()
            late.close()
        finally:
            reports = own.remove()
        self.assertEqual(reports, [])
