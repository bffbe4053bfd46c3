"""Idempotency-Key: the work is done once, the answer is repeated, a secret never is."""

import contextlib
import fcntl
import os
import signal
import sqlite3
import threading
import time
import unittest

from harness import SLOW, Instance, TestCase


@contextlib.contextmanager
def database(vexa):
    """The database for a hand of the test, under the writers' lock."""
    fd = os.open(os.path.join(vexa.dir, "vexa.db.lock"), os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        db = sqlite3.connect(os.path.join(vexa.dir, "vexa.db"))
        with db:
            yield db
        db.close()
    finally:
        os.close(fd)


class Idempotency(TestCase):
    def setUp(self):
        self.user = self.vexa.new_user()
        self.key = self.vexa.new_key(self.user)
        self.mint = "/admin/users/%d/tokens" % self.user

    def bot(self, idem, native, key=None, vexa=None, **extra):
        body = {"platform": "google_meet", "native_meeting_id": native}
        body.update(extra)
        return (vexa or self.vexa).post("/bots", body, key=key or self.key, headers={"Idempotency-Key": idem})

    def admin_mint(self, idem, body=None, query="", **kw):
        return self.vexa.as_admin("POST", self.mint + query, body, headers={"Idempotency-Key": idem}, **kw)

    def meetings(self, key=None, vexa=None):
        return (vexa or self.vexa).get("/meetings", key=key or self.key).json["meetings"]

    def replayed(self, first, again):
        self.assertEqual((again.status, again.body), (first.status, first.body))
        self.assertEqual(again.headers.get("idempotency-replayed"), "true")
        self.assertEqual(again.headers["content-type"], first.headers["content-type"])

    def refused(self, r, status, code, retry=None):
        self.assertEqual((r.status, r.json["code"], r.headers.get("retry-after")), (status, code, retry), r)
        self.assertIsInstance(r.json["detail"], str)
        self.assertNotIn("idempotency-replayed", r.headers)

    def test_replay(self):
        first = self.bot("one-1", "idm-repl-one")
        self.assertEqual(first.status, 201, first)
        self.assertNotIn("idempotency-replayed", first.headers)
        for again in ("one-1", '"one-1"'):  # quoted or bare is the same key
            self.replayed(first, self.bot(again, "idm-repl-one"))
        # another key of the same user is the same user
        self.replayed(first, self.bot("one-1", "idm-repl-one", key=self.vexa.new_key(self.user)))
        self.refused(self.bot("one-1", "idm-repl-two"), 422, "idempotency_mismatch")
        self.refused(self.bot("one-1", "idm-repl-one", language="en"), 422, "idempotency_mismatch")
        self.refused(self.bot("one-2", "idm-repl-one"), 409, "meeting_already_active")
        self.assertEqual(len(self.meetings()), 1)
        # the answer is that of then, also when the meeting is over
        self.vexa.wait_status(first.json["id"], ("completed", "failed"), key=self.key)
        self.replayed(first, self.bot("one-1", "idm-repl-one"))
        # whoever repeats must still be allowed to
        self.assertEqual(self.bot("one-1", "idm-repl-one", key="vxa_bot_none").status, 401)
        self.assertEqual(self.bot("one-1", "idm-repl-one", key=self.vexa.new_key(self.user, ["tx"])).status, 403)

    def test_other_user(self):
        other = self.vexa.key_of_new_user()
        mine = self.bot("same", "idm-othr-one")
        theirs = self.bot("same", "idm-othr-one", key=other)
        self.assertEqual((mine.status, theirs.status), (201, 201))
        self.assertNotEqual(mine.json["id"], theirs.json["id"])
        self.assertNotIn("idempotency-replayed", theirs.headers)
        self.replayed(theirs, self.bot("same", "idm-othr-one", key=other))
        self.assertEqual(self.bot("same", "idm-othr-two", key=self.vexa.key_of_new_user()).status, 201)

    def test_parallel(self):
        for round_ in range(5):
            answers, native = [], "idm-para-ll%d" % round_
            barrier = threading.Barrier(12)
            key = self.vexa.key_of_new_user()

            def post():
                barrier.wait()
                answers.append(self.bot("race", native, key=key))

            threads = [threading.Thread(target=post) for _ in range(12)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            first = [r for r in answers if r.status == 201 and "idempotency-replayed" not in r.headers]
            self.assertEqual(len(first), 1, answers)
            for r in answers:
                if r.status == 409:
                    self.refused(r, 409, "idempotency_in_progress", "1")
                elif r is not first[0]:
                    self.replayed(first[0], r)
            self.assertEqual(len(self.meetings(key)), 1)
            self.replayed(first[0], self.bot("race", native, key=key))

    def test_only_success_is_kept(self):
        key = self.vexa.key_of_new_user(max_bots=1)
        self.vexa.recording("google_meet", "idm-kept-one", "WEBVTT\n\n1\n00:00.000 --> 59:00.000\n<v A>long\n")
        self.assertEqual(self.bot("a", "idm-kept-one", key=key).status, 201)
        self.refused(self.bot("b", "idm-kept-one", key=key), 409, "meeting_already_active")
        self.refused(self.bot("c", "idm-kept-two", key=key), 429, "concurrency_limit", "30")
        self.refused(self.bot("d", "idm-kept-two", key=key, meeting_url="http://x"), 422, "validation_error")
        r = self.bot("e", "idm-kept-two", key=key, authenticated=True)
        self.refused(r, 501, "not_implemented")
        self.assertEqual(self.vexa.delete("/bots/google_meet/idm-kept-one", key=key).status, 204)
        end = time.monotonic() + 30 * SLOW
        while self.vexa.get("/bots/status", key=key).json["running"] and time.monotonic() < end:
            time.sleep(0.05)
        # the keys of refused requests are as new, also with another body
        r = self.bot("c", "idm-kept-two", key=key)
        self.assertEqual(r.status, 201, r)
        self.assertNotIn("idempotency-replayed", r.headers)
        self.refused(self.bot("b", "idm-kept-thr", key=key), 429, "concurrency_limit", "30")
        self.replayed(r, self.bot("c", "idm-kept-two", key=key))

    def test_minting(self):
        before = len(self.vexa.as_admin("GET", self.mint).json)
        first = self.admin_mint("m", {"scopes": ["bot", "tx"]})
        self.assertEqual(first.status, 201, first)
        secret = first.json["token"]
        again = self.admin_mint("m", {"scopes": ["bot", "tx"]})
        self.assertEqual(again.status, 201)
        self.assertEqual(again.headers.get("idempotency-replayed"), "true")
        self.assertEqual(again.json, {**first.json, "token": None})
        self.assertNotIn(secret.encode(), again.body)
        self.assertEqual(len(self.vexa.as_admin("GET", self.mint).json), before + 1)
        self.assertEqual(self.vexa.get("/auth/me", key=secret).status, 200)
        self.refused(self.admin_mint("m", {"scopes": ["bot"]}), 422, "idempotency_mismatch")
        for name in ("vexa.db", "vexa.db-wal"):  # nor is it stored
            with open(os.path.join(self.vexa.dir, name), "rb") as f:
                self.assertNotIn(secret.encode(), f.read(), name)
        # the query says what is minted too; an empty body is one
        self.assertEqual(self.admin_mint("q", query="?scope=bot").status, 201)
        self.refused(self.admin_mint("q", query="?scope=tx"), 422, "idempotency_mismatch")
        self.assertIsNone(self.admin_mint("q", query="?scope=bot").json["token"])
        # 404 and 422 are not kept, and the path is part of the scope
        gone = self.vexa.as_admin("POST", "/admin/users/999999/tokens", headers={"Idempotency-Key": "m"})
        self.refused(gone, 404, "user_not_found")
        self.refused(self.admin_mint("s", {"scopes": ["nope"]}), 422, "invalid_scope")
        self.assertTrue(self.admin_mint("s", {"scopes": ["bot"]}).json["token"])
        # an admin is not the user with the same key
        self.assertEqual(self.bot("m", "idm-mint-one").status, 201)

    def test_malformed(self):
        def fault(value):
            r = self.bot(value, "idm-malf-one")
            self.assertEqual((r.status, r.json["code"]), (422, "validation_error"), (value, r))
            self.assertEqual([d["loc"] for d in r.json["detail"]], [["header", "Idempotency-Key"]])
            return r.json["detail"][0]

        self.assertEqual(fault("x" * 256), {
            "type": "string_too_long", "loc": ["header", "Idempotency-Key"], "input": "x" * 256,
            "msg": "String should have at most 255 characters", "ctx": {"max_length": 255}})
        self.assertEqual(fault('""')["type"], "string_too_short")
        for value in ('"open', '"a"b', '"', '"a\\n"', '"a\\', "schl\u00fcssel".encode(), b"a\xff", "a\tb"):
            self.assertEqual(fault(value)["type"], "value_error", value)
        # together with what is wrong in the body
        r = self.vexa.post("/bots", {"nope": 1}, key=self.key, headers={"Idempotency-Key": "x" * 300})
        self.assertEqual([d["loc"] for d in r.json["detail"]], [["header", "Idempotency-Key"], ["body", "nope"]])
        self.assertEqual(self.meetings(), [])
        # the longest, and escapes
        for value in ("x" * 255, '"%s"' % ("y" * 255), '"a \\"b\\" \\\\ c"', "a b'c"):
            first = self.admin_mint(value)
            self.assertEqual(first.status, 201, (value, first))
            self.assertEqual(self.admin_mint(value).json, {**first.json, "token": None})
        # who has no use for a key does not look at it
        r = self.vexa.get("/auth/me", key=self.key, headers={"Idempotency-Key": "x" * 300})
        self.assertEqual(r.status, 200)

    def test_left_in_progress(self):
        """What a responder leaves that died between the claim and the answer."""
        self.assertEqual(self.admin_mint("dead").status, 201)
        with database(self.vexa) as db:
            ran = db.execute("UPDATE idempotency SET status = NULL, body = NULL, expires_ms = ? WHERE path = ?",
                             (int(time.time() * 1000) + 3000 * SLOW, self.mint)).rowcount
        self.assertEqual(ran, 1)
        self.refused(self.admin_mint("dead"), 409, "idempotency_in_progress", "1")
        self.refused(self.admin_mint("dead", {"scopes": ["tx"]}), 422, "idempotency_mismatch")
        end = time.monotonic() + 20 * SLOW
        while (r := self.admin_mint("dead")).status == 409 and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(r.status, 201, r)
        self.assertTrue(r.json["token"])  # that request does the work
        self.assertNotIn("idempotency-replayed", r.headers)
        self.assertIsNone(self.admin_mint("dead").json["token"])

    def test_killed_responder_and_sweep(self):
        vexa = Instance(config={"retention.sweep_seconds": "1"})
        try:
            first = self.bot("k", "idm-kill-one", key=vexa.key, vexa=vexa)
            self.assertEqual(first.status, 201)
            old = vexa.kill("fcgi", signal.SIGKILL)
            vexa.wait_new_pid("fcgi", old)
            vexa.wait_ready()
            self.replayed(first, self.bot("k", "idm-kill-one", key=vexa.key, vexa=vexa))
            self.assertEqual(len(self.meetings(vexa.key, vexa)), 1)
            with database(vexa) as db:
                db.execute("UPDATE idempotency SET expires_ms = 1000")
            end, n = time.monotonic() + 20 * SLOW, 1
            while n and time.monotonic() < end:
                time.sleep(0.1)
                with database(vexa) as db:
                    n = db.execute("SELECT COUNT(*) FROM idempotency").fetchone()[0]
            self.assertEqual(n, 0, "swept")
        finally:
            reports = vexa.remove()
        self.assertEqual(reports, [])

    def test_kills_in_flight(self):
        """The responder is killed under requests; repeated later, each key has made one meeting."""
        vexa = Instance()
        try:
            users = [vexa.key_of_new_user(max_bots=1000) for _ in range(3)]
            stop = threading.Event()
            answered, lost = {}, []

            def ask(who, n):
                try:
                    r = self.bot("k%d" % n, "idm-inf%d-u%d" % (n, who), key=users[who], vexa=vexa)
                    return r if r.status == 201 else None
                except OSError:
                    return None

            def client(who):
                n = 0
                while not stop.is_set():
                    n += 1
                    r = ask(who, n)
                    if r:
                        answered[who, n] = r
                    else:
                        lost.append((who, n))
                        time.sleep(0.05)

            threads = [threading.Thread(target=client, args=(i,)) for i in range(3)]
            for t in threads:
                t.start()
            for _ in range(8):
                time.sleep(0.25)
                vexa.wait_new_pid("fcgi", vexa.kill("fcgi"))
            stop.set()
            for t in threads:
                t.join()
            vexa.wait_ready()
            with database(vexa) as db:  # a minute goes by
                db.execute("UPDATE idempotency SET expires_ms = 1000 WHERE status IS NULL")
            for who, n in lost:
                answered[who, n] = ask(who, n)
                self.assertIsNotNone(answered[who, n])
            with database(vexa) as db:
                rows = db.execute("SELECT user_id, native_meeting_id, COUNT(*) FROM meetings GROUP BY 1, 2").fetchall()
            self.assertEqual([r for r in rows if r[2] != 1], [])
            self.assertEqual(len(rows), len(answered))
            self.assertEqual(len({r.json["id"] for r in answered.values()}), len(answered))
        finally:
            reports = vexa.remove()
        self.assertEqual(reports, [])


if __name__ == "__main__":
    unittest.main()
