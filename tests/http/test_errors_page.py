"""The errors page, line by line: each line it has about admin, keys, bots, transcripts and 500 is
quoted here beside the requests that prove it, with status and exact body (less request_id).

A quote without a row fails; where ../shared holds the page, a line of it that is not quoted fails.
"""

import os
import sqlite3
import time
import unittest

from harness import SHARED, TestCase, vtt

PAGE = os.path.join(SHARED, "spec", "errors-page.md")

# Every statement of the page. Those of later issues name the issue instead of a row.
LINES = {
    "detail": "**detail.** Every error body is a JSON object with a `detail` field: a human-readable string for client errors, or a",
    "detail-list": "list of field errors for request-validation failures (422).",
    "2xx": "| 200 / 201 / 202 | success (201 create, 202 accepted-for-dispatch) | – |",
    "204": "| 204 | success, no body (e.g. token deleted, bot stopped) | – |",
    "400": "| 400 | malformed request: non-conformant envelope on `POST /invocations` | `Invocation envelope is not conformant` |",
    "401": "| 401 | missing or invalid API key: no / unknown / revoked `X-API-Key` | `Missing API key` · `Invalid API key` |",
    "403": "| 403 | under-scoped key, or bad/missing admin token | `Token scope not authorized for this endpoint` · `Invalid or missing admin token.` |",
    "404": "| 404 | resource not found: user, token, meeting, or workspace file | `User not found` · `not found` |",
    "422": "| 422 | semantic validation failed: bad field, invalid scope, event with no plan | `Invalid scope(s): ['foo']. Valid: ['bot', 'browser', 'tx']` |",
    "500": "| 500 | unexpected server error | – |",
    "admin-1": "**Authentication / admin** (`/admin/*`): 403 on a missing or wrong admin token (`Invalid or missing admin token.`); 404 minting a",
    "admin-2": "token for a user id that does not exist; 422 minting with an invalid scope (valid: `bot`, `tx`, `browser`).",
    "meetings-1": "**Meetings** (`/bots`, `/transcripts/*`): 401 on a missing or invalid `X-API-Key`; 403 when the key lacks the route's scope; 404",
    "meetings-2": "reading a transcript for a meeting that was never started; a bot that fails to join shows in `GET /bots/status`, not as an HTTP error",
    "meetings-3": "on `POST /bots`.",
    "agent-1": "**Agent** (`/agent/*`): `POST /invocations` → 400 if the unit.v1 envelope is non-conformant; `POST /events` → 400 if the event.v1 event is",
    "agent-2": "non-conformant, 422 if the event carries no plan; workspace reads → 404 (`detail: \"not found\"`) if the path is absent",
    "agent-3": "(`GET /agent/workspace/file?path=...`).",
    "streams-1": "**Streams** (`POST /agent/chat`, `GET /agent/meeting/stream`) open with 200 and report problems in-band as SSE frames, not as a status code:",
    "streams-2": "`rejected` — a write was blocked by governance, the frame carries `violations`; `done` with `ok: false` — the turn ended unsuccessfully;",
    "streams-3": "on a dropped meeting stream, reconnect with the last `id:` echoed as `Last-Event-ID` to resume without a gap.",
    "limits-1": "**Rate limits**: a self-hosted instance imposes none at the gateway; throughput is bounded by the operator's own infrastructure and by per-user",
    "limits-2": "concurrency (`max_concurrent_bots`, set when the user is created). A hosted service applies plan-based limits; a throttled request gets 429",
    "limits-3": "with a `Retry-After` header.",
}
LATER = {"400": "03", "agent-1": "03", "agent-2": "03", "streams-2": "03"}


def bodies_equal(test, answer, status, body):
    test.assertEqual(answer.status, status, answer)
    got = answer.json
    test.assertRegex(got.pop("request_id"), r"^[A-Za-z0-9._-]{1,128}$")
    test.assertEqual(got, body)
    test.assertEqual(answer.headers["content-type"], "application/json")


class ErrorsPage(TestCase):
    """Each row: proves(line…) is called by the test that shows it."""

    proven = set()

    def proves(self, *names):
        for name in names:
            self.assertIn(name, LINES)
            ErrorsPage.proven.add(name)

    @classmethod
    def tearDownClass(cls):
        missing = [LINES[n] for n in LINES if n not in cls.proven and n not in LATER]
        if missing:
            raise AssertionError("no row for: %s" % "\n".join(missing))

    def setUp(self):
        self.key = self.vexa.key_of_new_user()

    MISSING_KEY = {"detail": "Missing API key", "code": "missing_api_key"}
    INVALID_KEY = {"detail": "Invalid API key", "code": "invalid_api_key"}
    BAD_ADMIN = {"detail": "Invalid or missing admin token.", "code": "invalid_admin_token"}

    def test_missing_key(self):
        self.proves("401", "meetings-1", "detail")
        for method, path in (("GET", "/bots"), ("POST", "/bots"), ("GET", "/bots/status"),
                             ("DELETE", "/bots/zoom/1"), ("GET", "/transcripts/zoom/1"), ("GET", "/auth/me")):
            for headers in ({}, {"X-API-Key": ""}):
                r = self.vexa.request(method, path, headers=headers)
                bodies_equal(self, r, 401, self.MISSING_KEY)
                self.assertEqual(r.headers["www-authenticate"], "Bearer")

    def test_unknown_key(self):
        self.proves("401", "meetings-1")
        for key in ("x", "vxa_bot_" + "a" * 32, self.key + "x", self.key[:-1], "é" * 20, "x" * 4000):
            r = self.vexa.request("GET", "/bots", headers={"X-API-Key": key.encode("utf-8")})
            bodies_equal(self, r, 401, self.INVALID_KEY)
            r = self.vexa.request("GET", "/transcripts/zoom/1", headers={"Authorization": b"Bearer " + key.encode()})
            bodies_equal(self, r, 401, self.INVALID_KEY)

    def test_revoked_key(self):
        self.proves("401", "204")
        user = self.vexa.new_user()
        key = self.vexa.new_key(user)
        self.assertEqual(self.vexa.get("/bots", key=key).status, 200)
        tokens = self.vexa.as_admin("GET", "/admin/users/%d/tokens" % user).json
        r = self.vexa.as_admin("DELETE", "/admin/tokens/%d" % tokens[0]["id"])
        self.assertEqual((r.status, r.body), (204, b""))
        bodies_equal(self, self.vexa.get("/bots", key=key), 401, self.INVALID_KEY)
        bodies_equal(self, self.vexa.get("/transcripts/zoom/1", key=key), 401, self.INVALID_KEY)

    def test_expired_key(self):
        self.proves("401")
        key = self.vexa.new_key(self.vexa.new_user(), expires_in=1)
        self.assertEqual(self.vexa.get("/bots", key=key).status, 200)
        end = time.monotonic() + 10
        while self.vexa.get("/bots", key=key).status == 200 and time.monotonic() < end:
            time.sleep(0.05)
        bodies_equal(self, self.vexa.get("/bots", key=key), 401, self.INVALID_KEY)

    def test_scope(self):
        self.proves("403", "meetings-1")
        user = self.vexa.new_user()
        tx, bot, browser = (self.vexa.new_key(user, [s]) for s in ("tx", "bot", "browser"))
        for key, granted in ((tx, ["tx"]), (browser, ["browser"])):
            for method, path in (("GET", "/bots"), ("POST", "/bots"), ("GET", "/bots/status"), ("DELETE", "/bots/zoom/1")):
                bodies_equal(self, self.vexa.request(method, path, key=key), 403,
                             {"detail": "Token scope not authorized for this endpoint", "code": "insufficient_scope",
                              "required": ["bot"], "granted": granted})
        for path in ("/transcripts/zoom/1", "/transcripts/by-id/1", "/meetings"):
            bodies_equal(self, self.vexa.get(path, key=bot), 403,
                         {"detail": "Token scope not authorized for this endpoint", "code": "insufficient_scope",
                          "required": ["tx"], "granted": ["bot"]})

    def test_admin_token(self):
        self.proves("403", "admin-1")
        for headers in ({}, {"X-Admin-API-Key": ""}, {"X-Admin-API-Key": "wrong"},
                        {"X-Admin-API-Key": self.vexa.admin + "x"}, {"X-Admin-API-Key": self.vexa.admin[:-1]},
                        {"X-Admin-API-Key": b"\xc3\xa9\xff"}, {"X-API-Key": self.vexa.admin}, {"X-API-Key": self.key}):
            for method, path in (("POST", "/admin/users"), ("GET", "/admin/users/1"), ("PATCH", "/admin/users/1"),
                                 ("GET", "/admin/users/email/a@example.com"), ("POST", "/admin/users/1/tokens"),
                                 ("GET", "/admin/users/1/tokens"), ("DELETE", "/admin/tokens/1")):
                bodies_equal(self, self.vexa.request(method, path, headers=headers), 403, self.BAD_ADMIN)

    def test_user_not_found(self):
        self.proves("404", "admin-1", "admin-2")
        absent = {"detail": "User not found", "code": "user_not_found"}
        bodies_equal(self, self.vexa.as_admin("GET", "/admin/users/999999"), 404, absent)
        bodies_equal(self, self.vexa.as_admin("GET", "/admin/users/99999999999"), 404, absent)
        bodies_equal(self, self.vexa.as_admin("GET", "/admin/users/email/none@example.com"), 404, absent)
        bodies_equal(self, self.vexa.as_admin("PATCH", "/admin/users/999999", {"max_concurrent_bots": 1}), 404, absent)
        bodies_equal(self, self.vexa.as_admin("GET", "/admin/users/999999/tokens"), 404, absent)
        bodies_equal(self, self.vexa.as_admin("POST", "/admin/users/999999/tokens", {"scopes": ["bot"]}), 404, absent)
        # minting: 404 of the user before 422 of the scope
        bodies_equal(self, self.vexa.as_admin("POST", "/admin/users/999999/tokens", {"scopes": ["foo"]}), 404, absent)
        bodies_equal(self, self.vexa.as_admin("DELETE", "/admin/tokens/999999"), 404,
                     {"detail": "Token not found", "code": "token_not_found"})

    def test_invalid_scope(self):
        self.proves("422", "admin-2")
        user = self.vexa.new_user()
        path = "/admin/users/%d/tokens" % user
        text = "Invalid scope(s): %s. Valid: ['bot', 'browser', 'tx']"
        for scopes, shown in ((["foo"], "['foo']"), (["bot", "foo", "Bot"], "['foo', 'Bot']"), (["it's"], '["it\'s"]')):
            bodies_equal(self, self.vexa.as_admin("POST", path, {"scopes": scopes}), 422,
                         {"detail": text % shown, "code": "invalid_scope"})
        bodies_equal(self, self.vexa.as_admin("POST", path + "?scope=foo"), 422,
                     {"detail": text % "['foo']", "code": "invalid_scope"})
        for body in ({"scopes": []}, {"scopes": [" "]}):
            r = self.vexa.as_admin("POST", path, body)
            self.assertEqual((r.status, r.json["detail"]), (422, "scopes must not be empty"))
        self.assertEqual(self.vexa.as_admin("GET", path).json, [])

    def test_bad_field(self):
        self.proves("422", "detail-list")
        r = self.vexa.post("/bots", {"platform": 5, "colour": "red"}, key=self.key)
        bodies_equal(self, r, 422, {"code": "validation_error", "detail": [
            {"type": "string_type", "loc": ["body", "platform"], "msg": "Input should be a valid string", "input": 5},
            {"type": "extra_forbidden", "loc": ["body", "colour"], "msg": "Extra inputs are not permitted", "input": "red"}]})

    def test_meeting_never_started(self):
        self.proves("404", "meetings-1", "meetings-2")
        bodies_equal(self, self.vexa.get("/transcripts/google_meet/abc-defg-hij", key=self.key), 404,
                     {"detail": "Meeting not found for platform google_meet and ID abc-defg-hij", "code": "meeting_not_found"})
        bodies_equal(self, self.vexa.get("/transcripts/by-id/999999", key=self.key), 404,
                     {"detail": "Meeting 999999 not found", "code": "meeting_not_found"})
        bodies_equal(self, self.vexa.get("/meetings/999999", key=self.key), 404,
                     {"detail": "Meeting not found", "code": "meeting_not_found"})
        bodies_equal(self, self.vexa.delete("/bots/zoom/123456789", key=self.key), 404,
                     {"detail": "No active meeting for this bot", "code": "meeting_not_found"})

    def test_failed_join_is_in_status(self):
        self.proves("meetings-2", "meetings-3", "2xx")
        self.vexa.recording("google_meet", "rej-ecte-dit", vtt([(0, 1, "A", "never said")], ["admission: reject"]))
        row = self.vexa.send_bot("rej-ecte-dit", key=self.key)  # 201, checked there
        self.vexa.wait_status(row["id"], "failed", key=self.key)
        r = self.vexa.get("/bots/status", key=self.key)
        self.assertEqual(r.status, 200)
        self.assertEqual((r.json["running"], r.json["running_bots"], r.json["count"]), ([], [], 0))
        failed = r.json["failed"]
        self.assertEqual([f["id"] for f in failed], [row["id"]])
        self.assertEqual((failed[0]["status"], failed[0]["completion_reason"], failed[0]["failure_stage"]),
                         ("failed", "awaiting_admission_rejected", "awaiting_admission"))
        self.assertTrue(failed[0]["failure_reason"])

    def test_stopped_bot_is_204(self):
        self.proves("204", "2xx")
        self.vexa.recording("google_meet", "sto-pped-now", vtt([(0, 3600, "A", "a long word")]))
        row = self.vexa.send_bot("sto-pped-now", key=self.key)
        self.vexa.wait_status(row["id"], "active", key=self.key)
        r = self.vexa.delete("/bots/google_meet/sto-pped-now", key=self.key)
        self.assertEqual((r.status, r.body), (204, b""))
        row = self.vexa.wait_status(row["id"], "completed", key=self.key)
        self.assertEqual(row["completion_reason"], "stopped")

    def test_internal_error(self):
        """The 500 is reached by a planted corrupt row and is JSON."""
        self.proves("500", "detail")
        self.vexa.recording("google_meet", "cor-rupt-row", vtt([(0, 1, "A", "hello")]))
        row = self.vexa.send_bot("cor-rupt-row", key=self.key)
        self.vexa.wait_status(row["id"], "completed", key=self.key)
        db = sqlite3.connect(os.path.join(self.vexa.dir, "vexa.db"), timeout=10)
        try:
            db.execute("PRAGMA wal_autocheckpoint=0")
            self.assertEqual(db.execute("UPDATE meetings SET data='{\"broken' WHERE id=?", (row["id"],)).rowcount, 1)
            db.commit()
            for path in ("/meetings/%d" % row["id"], "/transcripts/by-id/%d" % row["id"], "/bots",
                         "/transcripts/google_meet/cor-rupt-row"):
                bodies_equal(self, self.vexa.get(path, key=self.key), 500,
                             {"detail": "Internal Server Error", "code": "internal_error"})
            db.execute("UPDATE meetings SET data='{}' WHERE id=?", (row["id"],))
            db.commit()
        finally:
            db.close()
        self.assertEqual(self.vexa.get("/meetings/%d" % row["id"], key=self.key).status, 200)

    def test_workspace_file_not_found(self):
        """The half of agent-2 that is about files, and agent-3."""
        self.proves("agent-3", "404")
        for path in ("none.md", "kg/none/x.md", "kg", "README.md/x"):
            bodies_equal(self, self.vexa.get("/agent/workspace/file?path=" + path, key=self.key), 404,
                         {"detail": "not found", "code": "file_not_found"})

    def test_no_rate_limit(self):
        """2,000 requests in a burst: none is 429."""
        self.proves("limits-1")
        import http.client
        import threading
        seen, lock = {}, threading.Lock()

        def burst():
            conn = http.client.HTTPConnection("127.0.0.1", self.vexa.port, timeout=60)
            for _ in range(125):
                conn.request("GET", "/auth/me", headers={"X-API-Key": self.key})
                r = conn.getresponse()
                r.read()
                with lock:
                    seen[r.status] = seen.get(r.status, 0) + 1
            conn.close()

        threads = [threading.Thread(target=burst) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(seen, {200: 2000})

    def test_concurrency_limit(self):
        self.proves("limits-2", "limits-3")
        key = self.vexa.key_of_new_user(max_bots=1)
        self.vexa.recording("google_meet", "cap-full-one", vtt([(0, 3600, "A", "a long word")]))
        self.vexa.send_bot("cap-full-one", key=key)
        r = self.vexa.post("/bots", {"platform": "google_meet", "native_meeting_id": "cap-full-two"}, key=key)
        bodies_equal(self, r, 429, {"detail": "User has reached the maximum concurrent bot limit (1).",
                                    "code": "concurrency_limit", "limit": 1, "in_use": 1})
        self.assertEqual(r.headers["retry-after"], "30")
        self.vexa.delete("/bots/google_meet/cap-full-one", key=key)

    def test_stream_opens_and_resumes(self):
        self.proves("streams-1", "streams-3")
        self.vexa.recording("google_meet", "res-umed-now", vtt([(i, i + 1, "A", "word %d" % i) for i in range(8)]))
        row = self.vexa.send_bot("res-umed-now", key=self.key)
        s = self.vexa.meeting_stream(row["id"], key=self.key)
        self.assertEqual(s.status, 200)
        whole = list(s.frames())
        self.assertEqual(whole[-1][1]["type"], "meeting-end")
        ids = [i for i, _ in whole if i]
        middle = ids[len(ids) // 2]
        rest = list(self.vexa.meeting_stream(row["id"], key=self.key, last_id=middle).frames())
        self.assertEqual(rest, [f for f in whole if f[0]][ids.index(middle) + 1:])

    def test_every_line_is_quoted(self):
        if not os.path.exists(PAGE):
            self.skipTest("the page is not here")
        with open(PAGE, encoding="utf-8") as f:
            page = f.read()
        quoted = set(LINES.values())
        start = page.index("**detail.**")
        for line in page[start:].split("\n"):
            if not line.strip() or line.startswith(("|---", "| Status")):
                continue
            self.assertIn(line, quoted, "a line of the page without a row")
        for quote in quoted:
            self.assertIn(quote, page)


if __name__ == "__main__":
    unittest.main()
