"""The user feed, several topics on one stream, deleted meetings, and transcripts read by ?since=."""

import json
import os
import threading
import time

from harness import SLOW, Instance, TestCase, vtt

CUES = [(i, i + 1, "AB"[i % 2], "line number %d" % i) for i in range(5)]


def number(ident):
    return int(ident.rsplit("-", 1)[1])


def collect(stream, into):
    t = threading.Thread(target=lambda: into.extend(stream.frames()))
    t.start()
    return t


class Talk(TestCase):
    """Helpers on the shared instance."""

    def played(self, native, key, cues=CUES, note=None):
        self.vexa.recording("google_meet", native, vtt(cues, note))
        row = self.vexa.send_bot(native, key=key)
        return self.vexa.wait_status(row["id"], ("completed", "failed"), key=key)

    def feed(self, key, query="", **kw):
        return self.vexa.stream("/meetings/stream" + query, key=key, **kw)

    def read(self, key, query, n, **kw):
        """The first n frames with an id."""
        s = self.feed(key, query, timeout=20, **kw)
        self.assertEqual(s.status, 200, s.answer.read() if s.status != 200 else "")
        got = []
        for frame in s.frames():
            if frame[0]:
                got.append(frame)
            if len(got) == n:
                break
        s.close()
        return got


class Feed(Talk):
    def test_user_feed(self):
        v, user = self.vexa, self.vexa.new_user()
        key, stranger = v.new_key(user), v.key_of_new_user()
        live = self.feed(key, timeout=30)
        self.assertEqual(live.status, 200)
        self.assertEqual(live.headers()["content-type"], "text/event-stream; charset=utf-8")
        row = self.played("fee-done-meet", key)
        self.played("fee-dtwo-meet", stranger)
        wanted = ["requested", "joining", "awaiting_admission", "active", "completed"]
        seen = []
        for ident, data in live.frames():
            seen.append((ident, data))
            if data["status"] == "completed":
                break
        live.close()
        self.assertEqual([d["status"] for _, d in seen if d["status"] in wanted], [s for s in wanted if s in [d["status"] for _, d in seen]])
        self.assertEqual((seen[0][1]["status"], seen[-1][1]["status"]), ("requested", "completed"))
        for _, d in seen:
            self.assertEqual(list(d), ["type", "meeting_id", "native", "status", "when"])
            self.assertEqual((d["type"], d["meeting_id"], d["native"]), ("meeting.status", row["id"], "fee-done-meet"))
        n = len(seen)
        # The same again from the log; from a cursor; the last two; with the name of the feed.
        self.assertEqual(self.read(key, "", n), seen)
        self.assertEqual(self.read(key, "", n - 2, last_id=seen[1][0]), seen[2:])
        self.assertEqual(self.read(key, "?lastEventId=" + seen[2][0], n - 3), seen[3:])
        self.assertEqual(self.read(key, "?replay=2", 2), seen[-2:])
        self.assertEqual(self.read(key, "?topics=user,user/%d&replay=1" % user, 1), seen[-1:])
        # A foreign epoch.
        s = self.feed(key, last_id="feedface-7", timeout=20)
        self.assertEqual(next(s.frames())[1], {"type": "reset"})
        self.assertEqual(next(s.frames()), seen[0])
        s.close()

    def test_refusals(self):
        v, user = self.vexa, self.vexa.new_user()
        key, stranger = v.new_key(user), v.key_of_new_user()
        mine, foreign = self.played("ref-uses-mine", key)["id"], self.played("ref-uses-othr", stranger)["id"]
        for topics, status, detail in (
                ("user,meeting/%d" % foreign, 403, "not authorized for this meeting: meeting/%d" % foreign),
                ("meeting/%d,meeting/99999999,unit/x" % mine, 403, "not authorized for this meeting: meeting/99999999"),
                ("unit/agent-1-chat-a,meeting/%d" % foreign, 404, "Unit not found: unit/agent-1-chat-a"),
                ("user/%d" % (user + 100000), 404, "User not found: user/%d" % (user + 100000)),
                ("meeting/0%d" % mine, 422, None), ("meeting/", 422, None), ("user,,user", 422, None),
                ("bot/x", 422, None), ("edits/%d" % mine, 422, None), ("meeting/-1", 422, None),
                (",".join(["user"] * 51), 422, "topics must be at most 50")):
            r = v.get("/meetings/stream?topics=" + topics, key=key)
            self.assertEqual(r.status, status, (topics, r))
            if detail:
                self.assertEqual(r.json["detail"], detail)
            self.assertIn("request_id", r.json)
        self.assertEqual(len(self.read(key, "?topics=" + ",".join(["user"] * 50), 1)), 1)
        self.assertEqual(v.get("/meetings/stream?replay=-1", key=key).status, 422)
        self.assertEqual(v.get("/meetings/stream", key=v.new_key(user, ["bot"])).status, 403)
        self.assertEqual(v.get("/meetings/stream", key="nope").status, 401)

    def test_merged(self):
        v, user = self.vexa, self.vexa.new_user()
        key = v.new_key(user)
        one, two = self.played("mer-gedd-one", key), self.played("mer-gedd-two", key)
        whole = []
        for row in (one, two):
            whole += [(i, d, "meeting/%d" % row["id"]) for i, d in v.meeting_stream(row["id"], key=key).frames() if i]
        feed = self.read(key, "", sum(1 for _, d, _ in whole if d["type"] == "meeting.status"))
        whole += [(i, d, "user/%d" % user) for i, d in feed]
        whole.sort(key=lambda e: number(e[0]))
        wanted = [(i, dict(d, topic=t)) for i, d, t in whole]
        query = "?topics=meeting/%d,user,meeting/%d" % (one["id"], two["id"])
        self.assertEqual(self.read(key, query, len(wanted)), wanted)
        for cut in (0, 3, len(wanted) // 2, len(wanted) - 2):
            self.assertEqual(self.read(key, query, len(wanted) - cut - 1, last_id=wanted[cut][0]), wanted[cut + 1:])
        for n in (1, 7, len(wanted) - 1, len(wanted)):
            self.assertEqual(self.read(key, query + "&replay=%d" % n, n), wanted[-n:])
        # Live: a meeting that runs, and the feed, on one stream with nothing lost or repeated.
        v.recording("google_meet", "mer-gedd-liv", vtt([(i, i + 1, "A", "word %d" % i) for i in range(60)]))
        live = v.send_bot("mer-gedd-liv", key=key)
        s = self.feed(key, "?topics=user,meeting/%d&replay=0" % live["id"], timeout=30)
        got = []
        for ident, data in s.frames():
            got.append((ident, data))
            if data["type"] == "meeting-end":
                break
        s.close()
        numbers = [number(i) for i, _ in got]
        self.assertEqual(numbers, sorted(set(numbers)))
        told = [(i, d) for i, d in v.meeting_stream(live["id"], key=key).frames() if i and number(i) >= numbers[0]]
        topic = "meeting/%d" % live["id"]
        self.assertEqual([(i, d) for i, d in got if d["topic"] == topic], [(i, dict(d, topic=topic)) for i, d in told])
        self.assertIn("user/%d" % user, {d["topic"] for _, d in got})


class Delete(Talk):
    def test_delete(self):
        v, user = self.vexa, self.vexa.new_user()
        key, stranger = v.new_key(user), v.key_of_new_user()
        row = self.played("del-ethe-meet", key)
        m = "/meetings/%d" % row["id"]
        v.recording("google_meet", "del-ethe-long", vtt([(0, 3600, "A", "a long word")]))
        running = v.send_bot("del-ethe-long", key=key)
        r = v.delete("/meetings/%d" % running["id"], key=key)
        self.assertEqual((r.status, r.json["detail"]), (409, "Meeting artifacts can only be deleted after the lifecycle is terminal"))
        self.assertEqual(v.delete(m, key=stranger).status, 404)
        self.assertEqual(v.delete(m, key=v.new_key(user, ["bot"])).status, 403)
        tip = v.get("/transcripts/by-id/%d" % row["id"], key=key).json["next_since"]
        r = v.delete(m, key=key)
        self.assertEqual((r.status, r.body), (204, b""))
        for path, status in ((m, 404), ("/transcripts/by-id/%d" % row["id"], 404), ("/transcripts/google_meet/del-ethe-meet", 404),
                             ("/bots/google_meet/del-ethe-meet/chat", 404), ("/meetings/stream?topics=meeting/%d" % row["id"], 403),
                             ("/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (row["id"], row["id"]), 403),
                             ("/agent/meeting/stream?meeting_id=del-ethe-meet&session_uid=del-ethe-meet", 403)):
            self.assertEqual(v.get(path, key=key).status, status, path)
        r = v.delete(m, key=key)
        self.assertEqual((r.status, r.json["detail"]), (404, "Meeting not found"))
        for path in ("/meetings", "/bots", "/bots/status"):
            self.assertNotIn('"native_meeting_id":"del-ethe-meet"', v.get(path, key=key).body.decode())
        (_, frame), = self.read(key, "", 1, last_id=tip)
        self.assertEqual((frame["type"], frame["meeting_id"], frame["native"], frame["status"]),
                         ("meeting.status", row["id"], "del-ethe-meet", "deleted"))
        # The link is free, and an older meeting of it is not shadowed.
        again = self.played("del-ethe-meet", key)
        third = self.played("del-ethe-meet", key)
        r = v.delete("/meetings/google_meet/del-ethe-meet", key=key)
        self.assertEqual(r.status, 200)
        self.assertEqual(r.json, {"status": "deleted", "id": third["id"], "platform": "google_meet", "native_meeting_id": "del-ethe-meet",
                                  "deleted": "completed_meeting_artifacts", "objects_deleted": 0,
                                  "backup_residuals": "expire_under_deployment_retention_policy"})
        self.assertEqual(v.get("/transcripts/google_meet/del-ethe-meet", key=key).json["id"], again["id"])
        r = v.delete("/meetings/google_meet/nev-erth-ere", key=key)
        self.assertEqual((r.status, r.json["detail"]), (404, "Meeting not found for platform google_meet and ID nev-erth-ere"))
        v.delete("/bots/google_meet/del-ethe-long", key=key)

    def test_open_streams_end(self):
        v, user = self.vexa, self.vexa.new_user()
        key = v.new_key(user)
        row, other = self.played("del-open-str", key), self.played("del-open-two", key)
        topics = "?topics=user,meeting/%d" % row["id"]
        streams = [self.feed(key, "?topics=meeting/%d" % row["id"], timeout=20), self.feed(key, topics, timeout=20),
                   self.feed(key, topics + "&replay=0", timeout=20)]
        stays = self.feed(key, "?topics=meeting/%d,user" % other["id"], timeout=20)
        got = [[] for _ in streams]
        threads = [collect(s, g) for s, g in zip(streams, got)]
        end = time.monotonic() + 10 * SLOW
        while not got[1] and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
        began = time.monotonic()
        self.assertEqual(v.delete("/meetings/%d" % row["id"], key=key).status, 204)
        for t in threads:
            t.join(10 * SLOW)
            self.assertFalse(t.is_alive())
        self.assertLess(time.monotonic() - began, 1.0 * SLOW)
        for g in got:
            self.assertNotIn("gap", [d["type"] for _, d in g], "nothing was lost that anybody may see")
        for _, d in stays.frames():
            if d["status" if "status" in d else "type"] == "deleted":
                break
        else:
            self.fail("the feed's other stream ended")
        stays.close()


class Since(Talk):
    @classmethod
    def setUpClass(cls):
        from harness import shared
        folder = shared().dir
        cls.given = os.path.join(folder, "feed-bot.json")
        script = os.path.join(folder, "feed-bot")
        with open(script, "w") as f:
            f.write('#!/bin/sh\nprintf %%s "$VEXA_BOT_CONFIG" > %s.new\nmv %s.new %s\nexec sleep 600\n' % ((cls.given,) * 3))
        os.chmod(script, 0o755)
        cls.own = Instance(config={"bots.google_meet": script})
        cls.key = cls.own.key
        cls.row = cls.own.send_bot("sin-ceth-isid")
        end = time.monotonic() + 20 * SLOW
        while not os.path.exists(cls.given) and time.monotonic() < end:
            time.sleep(0.05)
        with open(cls.given) as f:
            cls.config = json.load(f)

    @classmethod
    def tearDownClass(cls):
        reports = cls.own.remove()
        assert not reports, reports

    def say(self, *segments, **extra):
        body = {"segments": [dict({"speaker": "Ada", "start": 1, "end": 2, "completed": False}, **s) for s in segments]} if segments else {}
        r = self.own.request("POST", "/bots/internal/transcripts", body=dict(body, **extra), headers={"X-Meeting-Token": self.config["token"]})
        self.assertEqual(r.status, 200, r)
        return r.json

    def state(self, **kw):
        body = dict({"connection_id": self.config["connectionId"]}, **kw)
        r = self.own.request("POST", "/bots/internal/callback/lifecycle", body=body, headers={"X-Meeting-Token": self.config["token"]})
        self.assertEqual(r.status, 200, r)

    def transcript(self, since=None, status=200):
        r = self.own.get("/transcripts/by-id/%d%s" % (self.row["id"], "?since=" + since if since is not None else ""))
        self.assertEqual(r.status, status, r)
        return r.json

    def test_since(self):
        first = self.transcript()
        self.assertNotIn("retracted", first)
        self.say({"segment_id": "a", "text": "one"}, {"segment_id": "b", "text": "two", "start": 3, "end": 4})
        a = self.transcript(first["next_since"])
        self.assertEqual([s["segment_id"] for s in a["segments"]], ["a", "b"])
        self.assertEqual(a["retracted"], [])
        self.assertNotIn("reset", a)
        self.assertEqual(self.transcript(a["next_since"])["segments"], [])
        # What no frame shows is found all the same, once, and the stream stays silent.
        s = self.own.meeting_stream(self.row["id"], last_id=a["next_since"], timeout=20)
        self.say({"segment_id": "a", "text": "one", "end": 2.5, "language": "en"})
        b = self.transcript(a["next_since"])
        self.assertEqual([(x["segment_id"], x["end"], x["language"]) for x in b["segments"]], [("a", 2.5, "en")])
        self.assertEqual(self.transcript(b["next_since"])["segments"], [])
        self.say({"segment_id": "c", "text": "three", "completed": True, "start": 5, "end": 6})
        self.assertEqual(next(s.frames())[1]["id"], "c")
        s.close()
        # Taken back, and one that came again.
        self.say(type="transcript_retract", segment_ids=["b", "c"])
        self.say({"segment_id": "c", "text": "three", "completed": True, "start": 5, "end": 6})
        c = self.transcript(b["next_since"])
        self.assertEqual(([x["segment_id"] for x in c["segments"]], c["retracted"]), (["c"], ["b"]))
        self.assertEqual(self.transcript(c["next_since"])["retracted"], [])
        by_link = self.own.get("/transcripts/google_meet/sin-ceth-isid?since=" + b["next_since"]).json
        self.assertEqual((by_link["segments"], by_link["retracted"]), (c["segments"], ["b"]))
        # Ids of no use.
        epoch, n = c["next_since"].rsplit("-", 1)
        whole = [x["segment_id"] for x in self.transcript()["segments"]]
        for since in ("deadbeef-1", "%s-%d" % (epoch, int(n) + 1000)):
            got = self.transcript(since)
            self.assertEqual(([x["segment_id"] for x in got["segments"]], got["retracted"], got["reset"]), (whole, [], True))
        for since in ("x", "-1", epoch, epoch + "-01", epoch + "-", "1"):
            r = self.transcript(since, status=422)
            self.assertEqual(r["detail"][0]["loc"], ["query", "since"])
        self.assertNotIn("retracted", self.transcript(""))
        # The end confirms what was still a draft, and tells it before it tells the end.
        self.say({"segment_id": "d", "text": "the last wor", "start": 7, "end": 8})
        d = self.transcript()
        self.state(status="joining")
        self.state(status="active")
        self.state(status="completed", completion_reason="left_alone")
        end = self.transcript(d["next_since"])
        self.assertEqual([(x["segment_id"], x["completed"]) for x in end["segments"]], [("a", True), ("d", True)])
        frames = [f for f in self.own.meeting_stream(self.row["id"], last_id=d["next_since"], timeout=20).frames() if f[0]]
        self.assertEqual([(f["type"], f.get("id"), f.get("completed")) for _, f in frames][-4:],
                         [("transcript", "a", True), ("transcript", "d", True), ("meeting.status", None, None), ("meeting-end", None, None)])
        # Its bot may repeat the draft, and say more: in reads, not behind the stream's end.
        self.assertEqual(self.say({"segment_id": "d", "text": "the last wor", "start": 7, "end": 8})["unchanged"], 1)
        self.say({"segment_id": "e", "text": "late", "start": 9, "end": 10})
        late = self.transcript(end["next_since"])
        self.assertEqual([(x["segment_id"], x["completed"]) for x in late["segments"]], [("e", True)])
        s = self.own.meeting_stream(self.row["id"], last_id=frames[-1][0], timeout=20)
        self.assertEqual(s.status, 204)
        # A deleted meeting takes nothing any more.
        self.assertEqual(self.own.delete("/meetings/%d" % self.row["id"]).status, 204)
        r = self.own.request("POST", "/bots/internal/transcripts", body={"segments": []}, headers={"X-Meeting-Token": self.config["token"]})
        self.assertEqual(r.status, 404)
        r = self.own.request("GET", "/bots/internal/commands?session_uid=" + self.config["connectionId"], headers={"X-Meeting-Token": self.config["token"]})
        self.assertEqual(r.status, 403)
