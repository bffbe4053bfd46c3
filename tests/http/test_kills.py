"""Nothing is lost when processes die: responder, runner, bots, a held database."""

import fcntl
import os
import signal
import threading
import time
import unittest

from harness import SHARED, SLOW, Instance, TestCase, read_vtt, vtt

APOLLO = os.path.join(SHARED, "data", "apollo11-landing.vtt")


def follow(vexa, meeting_id, key, seen, stop):
    """A client as it should be: reads, reconnects with the last id, until meeting-end."""
    last = None
    while not stop.is_set():
        try:
            s = vexa.meeting_stream(meeting_id, key=key, last_id=last, timeout=30)
            if s.status == 204:
                return
            if s.status != 200:
                s.close()
                time.sleep(0.02)
                continue
            for ident, data in s.frames():
                if ident:
                    seen.append((ident, data))
                    last = ident
                if data["type"] == "meeting-end":
                    return
            last = s.last_id or last
        except OSError:
            time.sleep(0.02)


class Kills(TestCase):
    def test_responder_and_runner(self):
        """The responder is killed ten times while the meeting plays, the runner five times."""
        if os.path.exists(APOLLO):
            with open(APOLLO, encoding="utf-8") as f:
                text = f.read()
            cues = read_vtt(APOLLO)
        else:
            cues = [("Speaker %d" % (i % 4), "This is sentence number %d of the long talk." % i) for i in range(270)]
            text = vtt([(i * 10, i * 10 + 8, s, t) for i, (s, t) in enumerate(cues)])
        vexa = Instance(speed=60)
        try:
            key = vexa.key
            vexa.recording("google_meet", "kil-lthe-mall", text)
            row = vexa.send_bot("kil-lthe-mall", key=key)
            seen, stop = [], threading.Event()
            client = threading.Thread(target=follow, args=(vexa, row["id"], key, seen, stop))
            client.start()
            vexa.wait_status(row["id"], "active", key=key)
            back = []
            for round_ in range(10):
                names = ["fcgi", "runner"] if round_ % 2 else ["fcgi"]
                for name in names:
                    at = time.monotonic()
                    old = vexa.kill(name)
                    vexa.wait_new_pid(name, old)
                    back.append(time.monotonic() - at)
                vexa.wait_ready()
                time.sleep(1.0)  # let the meeting go on between two kills
            self.assertLess(max(back), 1.0 * SLOW, "back within a second")
            done = vexa.wait_status(row["id"], ("completed", "failed"), key=key, timeout=120)
            self.assertEqual((done["status"], done["completion_reason"]), ("completed", "left_alone"), done)
            client.join(60)
            stop.set()
            self.assertFalse(client.is_alive())
            whole = [f for f in vexa.meeting_stream(row["id"], key=key).frames() if f[0]]
            self.assertEqual(seen, whole, "every event once and in order")
            said = [(f["id"], f["text"], f["completed"]) for _, f in whole if f["type"] == "transcript"]
            self.assertEqual(len(said), len(set(said)))
            segments = vexa.get("/transcripts/by-id/%d" % row["id"], key=key).json["segments"]
            self.assertEqual([(s.get("speaker", ""), s["text"]) for s in segments], cues)
        finally:
            reports = vexa.remove()
        self.assertEqual(reports, [])

    def test_runner_adopts_and_stops(self):
        """A bot outlives its runner, is adopted, and a hanging one is ended after the grace."""
        vexa = Instance(speed=60, config={"bots.stop_grace_seconds": "1"})
        try:
            vexa.recording("google_meet", "han-gfor-ever", vtt([(0, 1, "A", "hello")], ["end: hang"]))
            row = vexa.send_bot("han-gfor-ever")
            vexa.wait_status(row["id"], "active")
            bot = vexa.pid("bot:" + row["bot_container_id"])
            old = vexa.kill("runner")
            vexa.wait_new_pid("runner", old)
            self.assertEqual(vexa.pid("bot:" + row["bot_container_id"]), bot)
            os.kill(bot, 0)
            began = time.monotonic()
            self.assertEqual(vexa.delete("/bots/google_meet/han-gfor-ever").status, 204)
            self.assertEqual(vexa.get("/meetings/%d" % row["id"]).json["status"], "stopping")
            done = vexa.wait_status(row["id"], ("completed", "failed"), timeout=20)
            self.assertEqual((done["status"], done["completion_reason"]), ("completed", "stopped"))
            self.assertGreaterEqual(time.monotonic() - began, 0.9)
            # a bot that dies while no runner watches
            vexa.recording("google_meet", "die-alon-eeee", vtt([(0, 3600, "A", "a long word")]))
            row = vexa.send_bot("die-alon-eeee")
            vexa.wait_status(row["id"], "active")
            bot = vexa.pid("bot:" + row["bot_container_id"])
            os.kill(vexa.pid("runner"), signal.SIGSTOP)
            stopped = vexa.pid("runner")
            os.kill(bot, signal.SIGKILL)
            os.kill(stopped, signal.SIGKILL)
            done = vexa.wait_status(row["id"], ("completed", "failed"), timeout=20)
            self.assertEqual((done["status"], done["completion_reason"]), ("completed", "left_alone"))
            self.assertTrue(done["failure_reason"])
            self.assertEqual(vexa.get("/bots/status").json["running"], [])
        finally:
            reports = vexa.remove()
        self.assertEqual(reports, [])

    def test_held_writer_lock(self):
        """POST is 503 + Retry-After, GET still 200, never 401."""
        vexa = self.vexa
        key = vexa.key_of_new_user()
        fd = os.open(os.path.join(vexa.dir, "vexa.db.lock"), os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            statuses = []

            def post(i):
                r = vexa.post("/bots", {"platform": "google_meet", "native_meeting_id": "hel-dlo-ck%d" % i}, key=key)
                statuses.append((r.status, r.json.get("code"), r.headers.get("retry-after")))

            posts = [threading.Thread(target=post, args=(i,)) for i in range(12)]
            for t in posts:
                t.start()
            for _ in range(50):
                self.assertEqual(vexa.get("/auth/me", key=key).status, 200)
                self.assertEqual(vexa.get("/meetings", key=key).status, 200)
            for t in posts:
                t.join()
            self.assertEqual(set(statuses), {(503, "store_busy", "1")})
        finally:
            os.close(fd)
        r = vexa.post("/bots", {"platform": "google_meet", "native_meeting_id": "hel-dlo-ckx"}, key=key)
        self.assertEqual(r.status, 201)
        self.assertEqual(len(vexa.get("/meetings", key=key).json["meetings"]), 1)

    def test_responder_down_is_503_json(self):
        vexa = Instance()
        try:
            os.kill(vexa.pid("up"), signal.SIGSTOP)  # so that nothing brings it back
            vexa.kill("fcgi")
            end = time.monotonic() + 10
            while True:
                r = vexa.get("/auth/me")
                if r.status != 200 or time.monotonic() > end:
                    break
            self.assertEqual(r.status, 503)
            self.assertTrue(r.json["detail"])
            self.assertIn("retry-after", r.headers)
            os.kill(vexa.pid("up"), signal.SIGCONT)
            vexa.wait_ready()
        finally:
            reports = vexa.remove()
        self.assertEqual(reports, [])

    def test_clean_stop(self):
        """SIGTERM: streams end, the supervisor brings a new responder, stop leaves nothing behind."""
        vexa = Instance(speed=60)
        vexa.recording("google_meet", "cle-anst-oppp", vtt([(0, 3600, "A", "a long word")]))
        row = vexa.send_bot("cle-anst-oppp")
        vexa.wait_status(row["id"], "active")
        s = vexa.meeting_stream(row["id"])
        frames = s.frames()
        next(frames)
        began = time.monotonic()
        old = vexa.kill("fcgi", signal.SIGTERM)
        for _ in frames:
            pass
        self.assertLess(time.monotonic() - began, 5 * SLOW)
        vexa.wait_new_pid("fcgi", old)
        vexa.wait_ready()
        pids = [vexa.pid(n) for n in ("up", "fcgi", "runner", "nginx", "bot:" + row["bot_container_id"])]
        self.assertTrue(all(pids), pids)
        reports = vexa.remove()
        for pid in pids:
            self.assertFalse(os.path.exists("/proc/%d" % pid) and "Z" not in open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1][:3],
                             "process %d was left behind" % pid)
        self.assertEqual(reports, [])


if __name__ == "__main__":
    unittest.main()
