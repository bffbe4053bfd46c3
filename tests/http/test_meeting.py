"""The main job: a bot attends a recorded meeting, clients read and stream the transcript."""

import os
import threading
import unittest

from harness import SHARED, TOP, TestCase, read_vtt, vtt

APOLLO = os.path.join(SHARED, "data", "apollo11-landing.vtt")
SAMPLE = os.path.join(TOP, "samples", "meeting-launch.vtt")


class Attend(TestCase):
    def setUp(self):
        self.key = self.vexa.key_of_new_user(max_bots=20)

    def attend(self, path, native_id):
        """Sends a bot into the recording; proves transcript and streams against the file."""
        cues = read_vtt(path)
        with open(path, encoding="utf-8") as f:
            self.vexa.recording("google_meet", native_id, f.read())
        row = self.vexa.send_bot(native_id, key=self.key, bot_name="Vexa")
        live = []
        reader = threading.Thread(target=lambda: live.extend(
            self.vexa.meeting_stream(row["id"], key=self.key, timeout=200).frames()))
        reader.start()
        done = self.vexa.wait_status(row["id"], ("completed", "failed"), key=self.key, timeout=150)
        reader.join(60)
        self.assertFalse(reader.is_alive())
        self.assertEqual((done["status"], done["completion_reason"]), ("completed", "left_alone"))

        r = self.vexa.get("/transcripts/google_meet/" + native_id, key=self.key)
        self.assertEqual(r.status, 200)
        segments = r.json["segments"]
        self.assertEqual([(s.get("speaker", ""), s["text"]) for s in segments], cues)
        self.assertTrue(all(s["completed"] for s in segments))
        self.assertEqual(sorted(s["start"] for s in segments), [s["start"] for s in segments])
        self.assertTrue(all(s["absolute_start_time"].endswith("Z") for s in segments))
        self.assertEqual(self.vexa.get("/transcripts/by-id/%d" % row["id"], key=self.key).json, r.json)

        late = list(self.vexa.meeting_stream(row["id"], key=self.key).frames())
        events = [f for f in live if f[0]]
        self.assertEqual(events, [f for f in late if f[0]], "opened at the start and at the end")
        numbers = [int(i.rsplit("-", 1)[1]) for i, _ in events]
        self.assertEqual(numbers, sorted(set(numbers)))
        said = [(f["id"], f["text"], f["completed"]) for _, f in events if f["type"] == "transcript"]
        self.assertEqual(len(said), len(set(said)), "an event came twice")
        drafts = {i for i, _, completed in said if not completed}
        confirmed = [i for i, _, completed in said if completed]
        self.assertEqual(confirmed, [s["segment_id"] for s in segments])
        self.assertEqual(drafts, set(confirmed), "every cue grows as a draft first")
        self.assertEqual(events[-1][1], {"type": "meeting-end"})
        statuses = [f["payload"]["status"] for _, f in events if f["type"] == "meeting.status"]
        self.assertEqual(statuses, ["requested", "joining", "awaiting_admission", "active", "completed"])
        return row, events

    def test_apollo(self):
        if not os.path.exists(APOLLO):
            self.skipTest("the recording is not here")
        self.assertEqual(len(read_vtt(APOLLO)), 276)
        self.attend(APOLLO, "apo-llom-oon")

    def test_bundled_sample(self):
        self.assertGreater(len(read_vtt(SAMPLE)), 30)
        self.attend(SAMPLE, "sam-plem-eet")

    def test_row_and_lists(self):
        self.vexa.recording("google_meet", "row-list-one", vtt([(0, 1, "A", "one"), (1, 2, "B", "two & three")]))
        row = self.vexa.send_bot("row-list-one", key=self.key)
        self.assertEqual((row["status"], row["platform"], row["native_meeting_id"]),
                         ("requested", "google_meet", "row-list-one"))
        self.assertEqual(row["constructed_meeting_url"], "https://meet.google.com/row-list-one")
        self.assertRegex(row["bot_container_id"], r"^mtg-%d-[0-9a-f]{8}$" % row["id"])
        self.assertEqual(len(row["data"]["sessions"]), 1)
        self.vexa.wait_status(row["id"], "completed", key=self.key)
        for path in ("/meetings", "/bots"):
            rows = self.vexa.get(path, key=self.key).json["meetings"]
            self.assertEqual([r["id"] for r in rows], [row["id"]])
        self.assertEqual(self.vexa.get("/meetings?status=failed", key=self.key).json["meetings"], [])
        again = self.vexa.send_bot("row-list-one", key=self.key)
        self.assertNotEqual(again["id"], row["id"])
        self.vexa.wait_status(again["id"], "completed", key=self.key)
        page = self.vexa.get("/meetings?limit=1", key=self.key).json
        self.assertEqual(([r["id"] for r in page["meetings"]], page["has_more"]), ([again["id"]], True))
        page = self.vexa.get("/meetings?limit=1&cursor=" + page["next_cursor"], key=self.key).json
        self.assertEqual(([r["id"] for r in page["meetings"]], page["has_more"]), ([row["id"]], False))

    def test_links(self):
        for body, platform, native in (
                ({"meeting_url": "https://meet.google.com/LNK-ABCD-EFG?authuser=1"}, "google_meet", "lnk-abcd-efg"),
                ({"url": "https://us05web.zoom.us/j/84335626851?pwd=x"}, "zoom", "84335626851"),
                ({"meeting_url": "https://teams.live.com/meet/9361792952021?p=abc"}, "teams", "9361792952021"),
                ({"meeting_url": "https://meet.jit.si/Team%20Sync"}, "jitsi", "Team%20Sync")):
            r = self.vexa.post("/bots", body, key=self.key)
            self.assertEqual(r.status, 201, r)
            self.assertEqual((r.json["platform"], r.json["native_meeting_id"]), (platform, native))
            failed = self.vexa.wait_status(r.json["id"], "failed", key=self.key)
            self.assertEqual(failed["completion_reason"], "join_failure")
            self.assertIn("no recording at", failed["failure_reason"])

    def test_refused_bodies(self):
        url_rule = "meeting_url must use https:// — the bot only joins TLS deployments"
        for body, text in (
                ({}, "'platform' and 'native_meeting_id' (or 'meeting_url') are required"),
                ({"platform": "google_meet"}, "'platform' and 'native_meeting_id' (or 'meeting_url') are required"),
                ({"meeting_url": "http://meet.google.com/abc-defg-hij"}, url_rule),
                ({"meeting_url": 5}, "meeting_url must be a non-empty string"),
                ({"meeting_url": "https://localhost/x"}, "meeting_url cannot target localhost"),
                ({"meeting_url": "https://127.0.0.1/x"}, "meeting_url cannot be an IP literal — use the deployment's hostname"),
                ({"platform": "zoom", "native_meeting_id": "123456789"},
                 "unsupported platform 'zoom' without a meeting_url — use google_meet/teams, or provide meeting_url (required for zoom/jitsi)"),
                ({"platform": "webex", "native_meeting_id": "1"},
                 "platform 'webex' cannot be spawned as a meeting bot — supported: google_meet, jitsi, teams, zoom"),
                ({"platform": "google_meet", "native_meeting_id": "x" * 256}, "'native_meeting_id' is 256 characters; the maximum is 255"),
                ({"platform": "google_meet", "native_meeting_id": "abc-defg-hij", "recording_enabled": 3}, "recording_enabled must be a boolean"),
                ({"platform": "google_meet", "native_meeting_id": "abc-defg-hij", "automatic_leave": {"x": 1, "a": 2}},
                 "automatic_leave has unknown field(s): a, x")):
            r = self.vexa.post("/bots", body, key=self.key)
            self.assertEqual((r.status, r.json["detail"]), (422, text), body)
        r = self.vexa.post("/bots", {"platform": "google_meet", "native_meeting_id": "abc-defg-hij", "continue_meeting": True}, key=self.key)
        self.assertEqual(r.status, 501)
        self.assertIn("continue_meeting", r.json["detail"])
        self.assertEqual(self.vexa.get("/meetings", key=self.key).json["meetings"], [])

    def test_parallel_posts(self):
        """Ten parallel POST /bots for one meeting: one 201, nine 409."""
        self.vexa.recording("google_meet", "ten-para-llel", vtt([(0, 3600, "A", "a long word")]))
        answers = []
        barrier = threading.Barrier(10)

        def post():
            barrier.wait()
            answers.append(self.vexa.post("/bots", {"platform": "google_meet", "native_meeting_id": "ten-para-llel"}, key=self.key))

        threads = [threading.Thread(target=post) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(a.status for a in answers), [201] + [409] * 9)
        row = next(a.json for a in answers if a.status == 201)
        for a in answers:
            if a.status == 409:
                self.assertEqual(a.json["detail"], "An active meeting already exists for google_meet/ten-para-llel")
                self.assertEqual(a.json["meeting_id"], row["id"])
                self.assertIn(a.json["status"], ("requested", "joining", "awaiting_admission", "active"))
        self.vexa.delete("/bots/google_meet/ten-para-llel", key=self.key)

    def test_endings(self):
        """What the recording's NOTE says is how the meeting ends."""
        cues = [(0, 1, "A", "hello there"), (1, 2, "B", "and goodbye")]
        cases = {
            "end-left-one": (["end: left_alone"], "completed", "left_alone", 2),
            "end-evic-ted": (["end: evicted"], "completed", "evicted", 2),
            "end-cras-hed": (["end: crash"], "completed", "left_alone", 2),
            "end-reje-ted": (["admission: reject"], "failed", "awaiting_admission_rejected", 0),
            "end-time-out": (["admission: timeout"], "failed", "awaiting_admission_timeout", 0),
            "end-wait-adm": (["admission: wait 20s"], "completed", "left_alone", 2),
            "end-drft-off": (["drafts: off"], "completed", "left_alone", 2),
            "end-bad-note": (["end: nowhere"], "failed", "validation_error", 0),
        }
        rows = {}
        for native, (note, *_) in cases.items():
            self.vexa.recording("google_meet", native, vtt(cues, note))
            rows[native] = self.vexa.send_bot(native, key=self.key, automatic_leave={"waiting_room_timeout": 60000})
        for native, (note, status, reason, n) in cases.items():
            with self.subTest(native):
                row = self.vexa.wait_status(rows[native]["id"], ("completed", "failed"), key=self.key)
                self.assertEqual((row["status"], row["completion_reason"]), (status, reason), row)
                segments = self.vexa.get("/transcripts/by-id/%d" % row["id"], key=self.key).json["segments"]
                self.assertEqual(len(segments), n)
        row = self.vexa.get("/meetings/%d" % rows["end-cras-hed"]["id"], key=self.key).json
        self.assertIn("signal 9", row["failure_reason"])
        row = self.vexa.get("/meetings/%d" % rows["end-bad-note"]["id"], key=self.key).json
        self.assertIn("line", row["failure_reason"])
        row = self.vexa.get("/meetings/%d" % rows["end-time-out"]["id"], key=self.key).json
        self.assertEqual(row["failure_stage"], "awaiting_admission")

    def test_stop_before_active(self):
        self.vexa.recording("google_meet", "stop-wait-ing"[:12], vtt([(0, 1, "A", "x")], ["admission: wait 3600s"]))
        row = self.vexa.send_bot("stop-wait-in", key=self.key)
        self.vexa.wait_status(row["id"], "awaiting_admission", key=self.key)
        r = self.vexa.delete("/bots/google_meet/stop-wait-in", key=self.key, headers={"Prefer": "return=representation"})
        self.assertEqual(r.status, 200)
        self.assertEqual(r.json, {"status": "stopping", "meeting_id": row["id"], "native_meeting_id": "stop-wait-in",
                                  "also_stopped": [], "cancelled": []})
        row = self.vexa.wait_status(row["id"], "failed", key=self.key)
        self.assertEqual((row["completion_reason"], row["failure_stage"]), ("stopped", "awaiting_admission"))
        self.assertEqual(self.vexa.get("/bots/status", key=self.key).json["failed"], [])

    def test_mock_scenarios(self):
        for scenario, status, reason in (("normal", "completed", "left_alone"), ("reject", "failed", "awaiting_admission_rejected"),
                                         ("crash", "completed", "left_alone"), ("silence-left-alone", "completed", "left_alone")):
            with self.subTest(scenario):
                row = self.vexa.send_bot("mock-" + scenario, key=self.key, bot_name="mock:" + scenario)
                row = self.vexa.wait_status(row["id"], ("completed", "failed"), key=self.key)
                self.assertEqual((row["status"], row["completion_reason"]), (status, reason), row)


class Isolation(TestCase):
    def test_another_users_meeting(self):
        """404 on every route, 403 on the stream."""
        mine, theirs = self.vexa.key_of_new_user(), self.vexa.key_of_new_user()
        self.vexa.recording("google_meet", "iso-late-one", vtt([(0, 3600, "A", "a long word")]))
        row = self.vexa.send_bot("iso-late-one", key=theirs)
        self.vexa.wait_status(row["id"], "active", key=theirs)
        for method, path in (("GET", "/meetings/%d"), ("GET", "/transcripts/by-id/%d")):
            absent = self.vexa.request(method, path % 888888, key=mine)
            foreign = self.vexa.request(method, path % row["id"], key=mine)
            self.assertEqual((absent.status, foreign.status), (404, 404))
            a, b = absent.json, foreign.json
            self.assertEqual(a.pop("detail").replace("888888", "N"), b.pop("detail").replace(str(row["id"]), "N"))
            a.pop("request_id"), b.pop("request_id")
            self.assertEqual(a, b)
        for method, path in (("GET", "/transcripts/google_meet/iso-late-one"), ("DELETE", "/bots/google_meet/iso-late-one"),
                             ("GET", "/bots/google_meet/iso-late-one/chat")):
            self.assertEqual(self.vexa.request(method, path, key=mine).status, 404, path)
        for meeting in (row["id"], "iso-late-one", 888888, "none", "0", "-1", "99999999999999999999"):
            r = self.vexa.get("/agent/meeting/stream?meeting_id=%s&session_uid=%s" % (meeting, meeting), key=mine)
            self.assertEqual((r.status, r.json["detail"]), (403, "not authorized for this meeting"))
        self.assertEqual(self.vexa.get("/meetings", key=mine).json["meetings"], [])
        self.assertEqual(self.vexa.get("/meetings/%d" % row["id"], key=theirs).json["status"], "active")
        for headers in ({"X-User-Id": "1"}, {"X-User-Id": str(row["user_id"]), "X-User-Scopes": "bot,tx"}):
            r = self.vexa.request("GET", "/meetings/%d" % row["id"], key=mine, headers=headers)
            self.assertEqual(r.status, 404)
        self.assertEqual(self.vexa.delete("/bots/google_meet/iso-late-one", key=theirs).status, 204)


if __name__ == "__main__":
    unittest.main()
