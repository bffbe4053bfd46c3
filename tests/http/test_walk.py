"""Walks every route: the table below is written from spec/gateway-identity.md §1.2, §2 and
spec/agent.md §1.1-1.9 (their /agent/ form), not from the program, and must equal /openapi.json.

Every answer of this file passes seen(): ids in the headers, the form of errors, no 5xx but 501.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import time
import unittest

from harness import Instance, TestCase

# Who may call: open, any key, B bot, T tx, BT either, admin, token (a bot's meeting token).
TABLE = """
GET open /health
GET open /ready
GET open /openapi.json
GET open /docs /docs/oauth2-redirect
GET open /redoc
GET admin /metrics
GET any /auth/me
GET any /ws
POST admin /admin/users
GET admin /admin/users/email/{email}
GET,PATCH admin /admin/users/{user_id}
GET,POST admin /admin/users/{user_id}/tokens
DELETE admin /admin/tokens/{token_id}
GET,POST B /bots
GET B /bots/status /bots/{platform}/{native_meeting_id}/chat
POST token /bots/internal/callback/lifecycle /bots/internal/transcripts
GET token /bots/internal/commands
DELETE B /bots/{platform}/{native_meeting_id}
PUT B /bots/{platform}/{native_meeting_id}/config
POST B /bots/{platform}/{native_meeting_id}/speak
GET,POST T /meetings
GET T /meetings/stream
GET,PATCH,DELETE T /meetings/{meeting_id}
PATCH,DELETE T /meetings/{platform}/{native_meeting_id}
PUT T /meetings/{platform}/{native_meeting_id}/intent
POST T /meetings/{platform}/{native_meeting_id}/share /meetings/{platform}/{native_meeting_id}/workspace
GET T /transcripts/by-id/{meeting_id} /transcripts/{platform}/{native_meeting_id}
POST T /transcripts/{platform}/{native_meeting_id}/share /transcripts/share/accept
GET BT /recordings /recordings/{recording_id} /recordings/{recording_id}/master /recordings/{recording_id}/media/{media_file_id}/raw
GET BT /recordings/{recording_id}/media/{media_file_id}/download
DELETE B /recordings/{recording_id}
GET,PUT B /user/calendar
GET,POST B /user/calendar/sync /user/calendars /user/calendars/{calendar_id}/sync
PATCH,DELETE B /user/calendars/{calendar_id}
GET,PUT BT /user/webhook /user/models /user/transcription
GET BT /user/webhook/deliveries
POST BT /invocations /events /agent/invocations /agent/events /agent/chat /agent/chat/reset /agent/meeting/start /agent/meeting/process
GET,DELETE BT /agent/units/{id}
GET BT /agent/units/{id}/stream /agent/models /agent/models/test /agent/transcription/test /agent/sessions /agent/sessions/{session}/history
GET BT /agent/meeting/stream /agent/meeting/relay-health
GET,POST BT /agent/routines
PATCH BT /agent/routines/{name}/enabled
DELETE BT /agent/routines/{routine_id}
GET BT /agent/workspace/tree /agent/workspace/file /agent/workspace/git /agent/workspace/git/show /agent/workspace/attached
GET BT /agent/workspace/active /agent/workspace/git-remote-status /agent/workspace/shared /agent/workspace/invites/preview
GET BT /agent/workspace/members
POST BT /agent/workspace/upload /agent/workspace/init /agent/workspace/swap /agent/workspace/activate /agent/workspace/new
POST BT /agent/workspace/deactivate /agent/workspace/rename /agent/workspace/{slug}/archive /agent/workspace/push /agent/workspace/pull
POST BT /agent/workspace/publish /agent/workspace/shared/new /agent/workspace/shared/{workspace_id}/active
POST BT /agent/workspace/{slug}/share-enable /agent/workspace/{workspace_id}/unshare /agent/workspace/{workspace_id}/leave
POST BT /agent/workspace/invites/accept /agent/workspace/members/{member}/role
DELETE BT /agent/workspace/{slug} /agent/workspace/invites/{invite_id} /agent/workspace/members/{member}
GET,POST BT /agent/workspace/purpose /agent/workspace/git-token /agent/workspace/invites
GET,POST,PUT,PATCH,DELETE,OPTIONS BT /mcp /mcp/{path}
"""
ROWS = [(method, path, who) for methods, who, *paths in (line.split() for line in TABLE.strip().splitlines())
        for path in paths for method in methods.split(",")]
# What the first issue builds; every other row answers 501. A row that gets built moves here.
BUILT = {(m, p) for m, p, _ in ROWS if p.startswith(("/admin/", "/bots/internal/"))} | {
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/openapi.json"), ("GET", "/auth/me"), ("GET", "/bots"),
    ("POST", "/bots"), ("GET", "/bots/status"), ("DELETE", "/bots/{platform}/{native_meeting_id}"),
    ("GET", "/bots/{platform}/{native_meeting_id}/chat"), ("GET", "/meetings"), ("GET", "/meetings/{meeting_id}"),
    ("GET", "/transcripts/by-id/{meeting_id}"), ("GET", "/transcripts/{platform}/{native_meeting_id}"),
    ("GET", "/agent/meeting/stream"), ("GET", "/meetings/stream"), ("DELETE", "/meetings/{meeting_id}"),
    ("DELETE", "/meetings/{platform}/{native_meeting_id}"), ("GET", "/agent/workspace/tree"), ("GET", "/agent/workspace/file"),
    ("GET", "/agent/workspace/git"), ("GET", "/agent/workspace/git/show"), ("POST", "/agent/workspace/init")}
SCOPES = {"any": None, "B": ["bot"], "T": ["tx"], "BT": ["bot", "tx"]}
SECURITY = {"open": set(), "admin": {"AdminKey"}, "token": {"MeetingToken", "MeetingTokenHeader"}}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND")
NUMBERS = ("user_id", "token_id", "meeting_id", "recording_id", "media_file_id")
MIB = 1 << 20
ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def fill(pattern, **given):
    """A path of the pattern that names nothing that exists."""
    values = {"platform": "google_meet", "native_meeting_id": "wlk-none-one", "email": "nobody%40example.com"}
    values.update({n: "987654" for n in NUMBERS}, **given)
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m[1], "none"), pattern)


def finite(pattern):
    """fill(), but the one stream that opens without a parameter, and would never end, is refused."""
    return fill(pattern) + ("?topics=unit/none" if pattern == "/meetings/stream" else "")


def allowed(path):
    """Methods of the rows that match a concrete path."""
    found = set()
    for method, pattern, _ in ROWS:
        form = re.sub(r"\{(\w+)\}", lambda m: ".+" if m[1] == "path" else "[^/]+", pattern)
        if re.fullmatch(form, path):
            found |= {method, "HEAD"} if method == "GET" else {method}
    return found


class Walk(TestCase):
    conn = None

    def setUp(self):
        self.admin = {"X-Admin-API-Key": self.vexa.admin}
        cls = Walk
        if cls.conn is None:
            cls.conn = http.client.HTTPConnection("127.0.0.1", self.vexa.port, timeout=60)
            cls.addClassCleanup(cls.conn.close)
            cls.user = self.vexa.new_user()
            cls.keys = {s: self.vexa.new_key(cls.user, s) for s in (("bot",), ("tx",), ("browser",), ("bot", "tx"), ("browser", "tx"))}
            cls.revoked = self.vexa.new_key(cls.user)
            last = self.vexa.as_admin("GET", "/admin/users/%d/tokens" % cls.user).json[-1]["id"]
            self.vexa.as_admin("DELETE", "/admin/tokens/%d" % last)
            cls.full = {"X-API-Key": cls.keys[("bot", "tx")]}
            self.vexa.recording("google_meet", "wlk-real-one", "WEBVTT\n\n1\n00:00.000 --> 00:01.000\n<v A>hi\n")
            cls.row = self.vexa.send_bot("wlk-real-one", key=cls.keys[("bot", "tx")])
            self.vexa.wait_status(cls.row["id"], "completed", key=cls.keys[("bot", "tx")])

    def ask(self, method, path, headers=None, raw=None, type=None):
        """One request over a kept connection; every answer is checked by seen()."""
        head = dict(headers or {})
        if type or raw is not None:
            head["Content-Type"] = type or "application/json"
        self.conn.request(method, path, body=raw, headers=head)
        r = self.conn.getresponse()
        r.raw, r.head = r.read(), {k.lower(): v for k, v in r.getheaders()}
        self.seen(r, method, path, head)
        return r

    def seen(self, r, method, path, sent):
        where = (method, path, r.status, r.raw[:300])
        self.assertTrue(r.status < 500 or r.status == 501, where)
        self.assertRegex(r.head.get("x-request-id", ""), ID, where)
        self.assertTrue(r.head.get("x-trace-id"), where)
        for name in ("X-Request-Id", "X-Trace-Id"):
            if isinstance(sent.get(name), str) and ID.fullmatch(sent[name]):
                self.assertEqual(r.head[name.lower()], sent[name], where)
        self.assertTrue(r.status != 204 or not r.raw, where)
        r.json = json.loads(r.raw) if r.raw and "json" in r.head.get("content-type", "") else None
        if r.status < 400 or method == "HEAD":
            return
        self.assertIn(r.head["content-type"], ("application/json", "application/problem+json"), where)
        self.assertTrue(r.json["detail"], where)
        self.assertRegex(r.json["code"], r"^[a-z_]+$", where)
        self.assertEqual(r.json["request_id"], r.head["x-request-id"], where)
        if r.status == 401:
            self.assertEqual(r.head["www-authenticate"], "Bearer", where)

    def fails(self, r, status, code=None, detail=None, **extra):
        where = (r.status, r.raw[:400])
        self.assertEqual(r.status, status, where)
        extra.update({k: v for k, v in (("code", code), ("detail", detail)) if v})
        self.assertEqual({k: r.json.get(k) for k in extra}, extra, where)

    def meeting_token(self):
        with open(os.path.join(self.vexa.dir, "vexa.conf")) as f:
            key = re.search(r"^signing_key\s*=\s*(\S+)", f.read(), re.M)[1]
        m = self.row
        claims = {"meeting_id": m["id"], "user_id": m["user_id"], "platform": m["platform"],
                  "native_meeting_id": m["native_meeting_id"], "exp": int(time.time()) + 600}
        b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=")
        text = b64(b'{"alg":"HS256","typ":"JWT"}') + b"." + b64(json.dumps(claims).encode())
        return (text + b"." + b64(hmac.new(key.encode(), text, hashlib.sha256).digest())).decode()

    def good(self, who):
        return self.admin if who == "admin" else {"X-Meeting-Token": self.meeting_token()} if who == "token" else self.full

    def rows_now(self):
        """What bad requests must not change."""
        return (self.ask("GET", "/meetings", self.full).json, self.ask("GET", "/admin/users/%d" % self.user, self.admin).raw,
                [(t["id"], t["scopes"], t["name"], t["expires_at"]) for t in self.ask("GET", "/admin/users/%d/tokens" % self.user, self.admin).json],
                self.ask("GET", "/transcripts/by-id/%d" % self.row["id"], self.full).json["segments"])

    def bodies(self):
        """(method, path, good headers) of the routes that read a body."""
        doc = self.ask("GET", "/openapi.json").json
        found = [(method, fill(pattern, user_id=str(self.user)), self.good(who)) for method, pattern, who in ROWS
                 if "requestBody" in doc["paths"][pattern][method.lower()]]
        self.assertEqual(len(found), 7)
        return found

    def test_document_is_the_table(self):
        doc = self.ask("GET", "/openapi.json").json
        self.assertEqual(doc["openapi"], "3.1.0")
        got = {(m.upper(), p): op for p, item in doc["paths"].items() for m, op in item.items() if m != "parameters"}
        self.assertEqual(set(got), {(m, p) for m, p, _ in ROWS})
        self.assertEqual(len({op["operationId"] for op in got.values()}), len(got))
        for method, pattern, who in ROWS:
            op = got[method, pattern]
            self.assertEqual({n for s in op["security"] for n in s}, SECURITY.get(who, {"ApiKeyAuth", "BearerAuth"}), pattern)
            self.assertEqual(op.get("x-scopes"), SCOPES.get(who), (method, pattern))
            if (method, pattern) in BUILT:
                self.assertTrue([c for c in op["responses"] if c[0] == "2"], (method, pattern))
            else:
                self.assertLessEqual(set(op["responses"]), {"401", "403", "501"}, (method, pattern))
            self.assertEqual([p["name"] for p in op.get("parameters", []) if p["in"] == "path"], re.findall(r"\{(\w+)\}", pattern))

    def test_who_may_call(self):
        """No, unknown, revoked key and a key of each scope, on every route."""
        missing = ("missing_api_key", "missing_meeting_token")
        for method, pattern, who in ROWS:
            path, later = fill(pattern), (method, pattern) not in BUILT
            if pattern == "/mcp/{path}":
                path = "/mcp/a/b"
            none = self.ask(method, path)
            if who == "open":
                self.assertEqual(none.status, 501 if later else 200, path)
                continue
            if who == "admin":
                for headers in ({}, self.full, {"X-Admin-API-Key": "no"}, {"Authorization": "Bearer " + self.vexa.admin}):
                    self.fails(self.ask(method, path, headers), 403, "invalid_admin_token", "Invalid or missing admin token.")
                self.assertIn(self.ask(method, path, self.admin).status, (501,) if later else (200, 404, 422))
                continue
            for r in (none, self.ask(method, path + "?zebra=1&limit=x"), self.ask(method, re.sub("987654|none$", "no%21", path))):
                self.fails(r, 401, missing[who == "token"])
            for key in ("nonsense", self.revoked):
                if who == "token":
                    self.fails(self.ask(method, path, {"X-Meeting-Token": key}), 401, "invalid_meeting_token")
                else:
                    self.fails(self.ask(method, path, {"X-API-Key": key}), 401, "invalid_api_key")
                    self.fails(self.ask(method, path, {"Authorization": "bearer " + key}), 401, "invalid_api_key")
            if who == "token":
                self.fails(self.ask(method, path, self.full), 401, "missing_meeting_token")
                self.fails(self.ask(method, path, self.good(who)), 422, "validation_error")
                continue
            for granted, key in self.keys.items():
                r = self.ask(method, finite(pattern) if pattern == "/meetings/stream" else path, {"X-API-Key": key})
                if SCOPES[who] and not set(granted) & set(SCOPES[who]):
                    self.fails(r, 403, "insufficient_scope", "Token scope not authorized for this endpoint",
                               required=SCOPES[who], granted=list(granted))
                elif later:
                    self.fails(r, 501, "not_implemented", "%s %s is documented but not built" % (method, pattern))
                else:
                    self.assertIn(r.status, (200, 201, 404, 422), (method, path, r.raw))

    def test_unbuilt_reads_nothing(self):
        """501 comes before the query, the types of the path and the body."""
        for method, path in (("PATCH", "/meetings/abc?x=1"), ("DELETE", "/recordings/1e9"), ("POST", "/agent/chat?y=%zz"),
                             ("PUT", "/user/webhook"), ("GET", "/docs?z"), ("GET", "/recordings/1/media/x/raw")):
            self.assertEqual(self.ask(method, path, self.full, b"{" * 3 if method != "GET" else None, "multipart/form-data").status, 501)
        self.fails(self.ask("POST", "/agent/chat", {}, b"{"), 401, "missing_api_key")

    def test_wrong_methods(self):
        for pattern in sorted({p for _, p, _ in ROWS}):
            path = fill(pattern)
            for method in METHODS:
                if method in allowed(path):
                    continue
                for headers in ({}, {"X-API-Key": "wrong"}):
                    r = self.ask(method, path, headers)
                    self.assertEqual(r.status, 405, (method, path))
                    self.assertEqual({m.strip() for m in r.head["allow"].split(",")}, allowed(path), path)
        for path in ("/bots", "/health"):
            for method in ("TRACE", "get", "GETX", "X" * 40, "A-B_c"):
                self.assertIn(self.ask(method, path).status, (400, 405), method)

    def test_unknown_paths(self):
        for path in ("/", "/nothing", "/bots/a/b/c/d", "/admin", "/admin/user", "/agent", "/agent/health", "/agent/none",
                     "/internal/validate", "/Bots", "/api/chat", "/bots/a", "/meetings/1/2/3/4", "/.git/config", "/vexa.conf"):
            self.fails(self.ask("GET", path, self.full), 404, "not_found", "Not Found")

    def test_trailing_slash(self):
        for method, pattern, _ in ROWS:
            path = fill(pattern)
            if path.startswith("/mcp"):  # {path} may be empty and may end in a slash
                continue
            for query in ("", "?a=1&b=%20x"):
                r = self.ask(method, path + "/" + query)
                self.assertEqual(r.status, 307, (method, path))
                self.assertEqual((r.head["location"], r.raw), (path + query, b""))

    def test_head(self):
        for method, pattern, who in ROWS:
            if method != "GET":
                continue
            head = dict(self.good(who) if who != "open" else {}, **{"X-Request-Id": "same-1", "X-Trace-Id": "same-2"})
            path = finite(pattern)
            get, r = self.ask("GET", path, head), self.ask("HEAD", path, head)
            self.assertEqual((r.status, r.raw), (get.status, b""), path)
            if path != "/ready":  # which has a running time in it
                self.assertEqual({k: v for k, v in r.head.items() if k != "date"}, {k: v for k, v in get.head.items() if k not in ("date", "transfer-encoding")}, path)
        path = "/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.row["id"], self.row["id"])
        r = self.ask("HEAD", path, self.full)
        self.assertEqual((r.status, r.head["content-type"].split(";")[0], r.raw), (200, "text/event-stream", b""))

    def test_ids(self):
        for path, headers in (("/health", {}), ("/bots", {}), ("/nothing", {}), ("/health/", {}), ("/bots", self.full)):
            mine = dict(headers, **{"X-Request-Id": "A.b_c-9" + "x" * 121, "X-Trace-Id": "trace-1.2"})
            self.ask("GET", path, mine)  # the echo is checked by seen()
            for bad in ("a b", "a" * 129, "é", "", "<x>", 'a"b'):
                r = self.ask("GET", path, dict(headers, **{"X-Request-Id": bad.encode()}))
                self.assertRegex(r.head["x-request-id"], r"^[0-9a-f]{32}$")
            r = self.ask("GET", path, dict(headers, **{"X-Trace-Id": "a b".encode()}))
            self.assertNotEqual(r.head["x-trace-id"], "a b")
        key = self.vexa.new_key(self.vexa.new_user())
        token = self.ask("GET", "/admin/users/%d/tokens" % self.vexa.get("/auth/me", key=key).json["user_id"], self.admin).json[0]["id"]
        self.assertEqual(self.ask("DELETE", "/admin/tokens/%d" % token, dict(self.admin, **{"X-Request-Id": "gone"})).status, 204)
        ids = {self.ask("GET", "/health").head["x-request-id"] for _ in range(50)}
        self.assertEqual(len(ids), 50)

    def test_problem_json(self):
        accept = {"Accept": "text/html, application/problem+json;q=0.9"}
        for method, path, headers, status, title in (
                ("GET", "/bots", {}, 401, "Unauthorized"), ("GET", "/none", {}, 404, "Not Found"), ("PUT", "/bots", {}, 405, "Method Not Allowed"),
                ("POST", "/agent/chat", self.full, 501, "Not Implemented"), ("GET", "/meetings/x", self.full, 422, "Unprocessable Entity")):
            r = self.ask(method, path, dict(headers, **accept))
            self.assertEqual((r.status, r.head["content-type"]), (status, "application/problem+json"))
            self.assertEqual((r.json["type"], r.json["title"], r.json["status"]), ("about:blank", title, status))
            self.assertIsInstance(r.json["detail"], str)
        self.assertEqual(r.json["errors"][0]["loc"], ["path", "meeting_id"])

    def test_bad_bodies(self):
        before = self.rows_now()
        deep = b'{"x":' * 100 + b"1" + b"}" * 100
        many = b'{"x":[' + b"1," * 20000 + b"1]}"
        cases = ((b'{"a":', 5, "Expecting value"), (b'["\xc3\xa9", x]', 6, "Expecting value"), (b"\xef\xbb\xbf{}", 0, None), (b"{'a':1}", 1, None),
                 (b'{"a":1}x', 7, "Extra data"), (b"   ", 3, "Expecting value"), (deep, 5 * 32, None), (many, 6 + 2 * 19998, None),
                 (b'{"a":"\xff"}', 6, None), (b'{"a":"\xc0\x80"}', 6, None), (b'{"a":"\xed\xa0\x80"}', 6, None), (b'{"a":"\\u0000"}', 6, None),
                 (b'{"a\\u0000z":1}', 3, None), (b'{"a":"\x00"}', 6, None), (b'{"a":NaN}', 5, None), (b'{"a":9223372036854775808}', 5, None),
                 (b'{"a":"\\ud800"}', 6, None), (b"\xff\xfe{\x00}\x00", 0, None), (b'{"a":1e999}', 5, None), (b'{"a":01}', 6, None))
        for method, path, good in self.bodies():
            for raw, pos, message in cases:
                r = self.ask(method, path, good, raw)
                self.fails(r, 422, "json_invalid")
                item = r.json["detail"][0]
                self.assertEqual((len(r.json["detail"]), item["type"], item["loc"], item["msg"], item["input"]),
                                 (1, "json_invalid", ["body", pos], "JSON decode error", {}), raw[:40])
                self.assertTrue(item["ctx"]["error"])
                if message:
                    self.assertEqual(item["ctx"]["error"], message)
            if "lifecycle" not in path:  # that contract is open
                r = self.ask(method, path, good, b'{"colour":[1],"shade":3}')
                extra = [(d["loc"], d["input"]) for d in r.json["detail"] if d["type"] == "extra_forbidden"]
                self.assertEqual((r.status, extra), (422, [(["body", "colour"], [1]), (["body", "shade"], 3)]), r.raw)
            for raw in (b"[]", b'"x"', b"5", b"true"):
                r = self.ask(method, path, good, raw)
                self.fails(r, 422, "validation_error")
                self.assertEqual((r.json["detail"][0]["type"], r.json["detail"][0]["loc"]), ("model_attributes_type", ["body"]))
            for type in ("multipart/form-data; boundary=x", "application/xml", "image/png", "text/html"):
                self.fails(self.ask(method, path, good, b"{}", type), 415, "unsupported_media_type", "Content-Type must be application/json")
            for type in ("application/json; charset=utf-8", "application/vnd.x+json", "text/plain", "application/x-www-form-urlencoded", "APPLICATION/JSON"):
                self.fails(self.ask(method, path, good, b'{"a":', type), 422, "json_invalid")
        self.assertEqual(self.rows_now(), before)

    def test_large_bodies(self):
        before = self.rows_now()
        large = b'{"platform":"' + b"x" * (2 * MIB) + b'"}'
        for method, path, good in self.bodies():
            r = self.ask(method, path, good, large)
            self.fails(r, 413, "payload_too_large", "Request body is larger than %d bytes" % MIB, limit=MIB)
            self.assertIn(self.ask(method, path, {}, large).status, (401, 403), path)
            self.fails(self.ask(method, path, good, b" " * MIB), 422, "json_invalid")
            self.fails(self.ask(method, path, good, iter([b"x" * MIB, b"y"])), 413, limit=MIB)
            self.assertIn(self.ask(method, path, good, large, "multipart/form-data").status, (413, 415))
        for method, pattern, who in ROWS:
            if method not in ("GET", "OPTIONS") and who not in ("open", "admin", "token"):
                r = self.ask(method, fill(pattern), {}, large)
                self.fails(r, 401, "missing_api_key")
        self.fails(self.ask("POST", "/agent/chat", self.full, large), 501)
        self.fails(self.ask("POST", "/none", {}, large), 404)
        self.conn.close()  # more than nginx takes: refused by nginx itself, in our form
        self.fails(self.ask("POST", "/bots", {"Content-Length": str(33 * MIB), "X-Trace-Id": "t"}), 413, "payload_too_large", limit=32 * MIB)
        self.conn.close()
        self.fails(self.ask("GET", "/bots", {"X-Long": "x" * 40000}), 431, "headers_too_large")
        self.conn.close()
        self.assertEqual(self.rows_now(), before)

    def test_unknown_query(self):
        for method, pattern, who in ROWS:
            if (method, pattern) not in BUILT:
                continue
            r = self.ask(method, fill(pattern, user_id=str(self.user)) + "?zebra=a+b&zebra=c%26&subject=9", self.good(who) if who != "open" else {}, b"{}")
            self.fails(r, 422, "validation_error")
            extra = [d for d in r.json["detail"] if d["loc"][0] == "query" and d["type"] == "extra_forbidden"]
            self.assertEqual(extra, [{"type": "extra_forbidden", "loc": ["query", "zebra"], "msg": "Extra inputs are not permitted", "input": "c&"}], pattern)
        for path in ("/health?subject=1", "/bots?subject=2&limit=1", "/meetings?subject=", "/auth/me?subject=x", "/bots?", "/bots?&&"):
            self.assertEqual(self.ask("GET", path, self.full).status, 200, path)
        for query in ("limit=0", "limit=101", "limit=x", "limit=", "offset=-1", "offset=10001", "exclude_planned=maybe", "limit=99999999999999999999"):
            r = self.ask("GET", "/meetings?" + query, self.full)
            self.fails(r, 422, "validation_error")
            self.assertEqual(r.json["detail"][0]["loc"], ["query", query.split("=")[0]])
        for query in ("a=%zz", "%", "a=%0", "a=%00", "a=%ff", "a=%c0%80", "x=" + "y" * 20000, "&".join("p%d=1" % i for i in range(500))):
            self.assertIn(self.ask("GET", "/bots?" + query, self.full).status, (400, 414, 422), query[:30])

    def test_integers_in_paths(self):
        real = str(self.row["id"])
        for text, status in ((real, 200), (real + ".0", 200), ("%2B" + real, 200), ("+" + real, 200), ("%20" + real + "%20", 200), ("00" + real, 200), ("0_" + real, 200),
                             ("1_000_000", 404), ("-5", 404), ("0", 404), ("9223372036854775807", 404), ("abc", 422), ("1e3", 422), ("0x10", 422),
                             ("1.5", 422), ("1__0", 422), ("_1", 422), ("1_", 422), ("1.", 422), ("+-1", 422), ("--1", 422), ("1%2F2", 422), ("9" * 400, 422),
                             ("9223372036854775808", 422), ("-9223372036854775809", 422), ("%D9%A1", 422), ("1%0b", 400)):
            for path in ("/meetings/%s", "/transcripts/by-id/%s"):
                r = self.ask("GET", path % text, self.full)
                self.assertIn(r.status, (status,), (path % text, r.raw))
                if status == 422:
                    item = r.json["detail"][0]
                    self.assertIn(item["type"], ("int_parsing", "int_parsing_size"))
                    self.assertEqual(item["loc"], ["path", "meeting_id"])
            self.assertEqual(self.ask("GET", "/meetings/" + text).status, 400 if r.status == 400 else 401, "the meaning of a path is read after the key")

    def test_encoded_segments(self):
        for text, status in (("a%2Fb", (404,)), ("%2e%2e", (404, 400)), ("..", (404, 400)), (".", (404, 400)), ("%252F", (404,)), ("a%3Fb", (404,)), ("a%23b", (404,)),
                             ("%00", (400,)), ("a%00b", (400,)), ("%zz", (400,)), ("%", (400,)), ("%f", (400,)), ("%ff", (400,)), ("%c0%af", (400,)), ("%0d%0aX:1", (400,)),
                             ("%7f", (400,)), ("%C3%A9", (404,)), ("x" * 300, (404, 422)), ("x" * 9000, (400, 414)), ("a;b=c", (404,)), ("a+b", (404,))):
            for method, path in (("GET", "/transcripts/zoom/%s"), ("DELETE", "/bots/zoom/%s"), ("GET", "/bots/zoom/%s/chat")):
                r = self.ask(method, path % text, self.full)
                self.assertIn(r.status, status, (method, path % text, r.raw))
        r = self.ask("GET", "/transcripts/zoom/a%2Fb", self.full)
        self.fails(r, 404, "meeting_not_found", "Meeting not found for platform zoom and ID a/b")
        for path in ("//health", "/health//", "//", "/bots//status", "//evil.example/", "/bots/zoom//chat", "/transcripts//x", "/%2Fhealth", "/bots%2Fstatus"):
            self.assertEqual(self.ask("GET", path, self.full).status, 404, path)
        self.assertEqual(self.ask("GET", "http://other.example/health").status, 200)
        self.assertEqual(self.ask("GET", "/%62ots/status", self.full).status, 200)


class BasePath(TestCase):
    def test_base_path(self):
        """Below a prefix: routes, 307 and the document know it; outside is 404."""
        own = Instance()
        try:
            own.set_config({"server.base_path": "/vexa/v1"})
            own.wait_new_pid("fcgi", own.kill("fcgi"))
            end = time.monotonic() + 20
            while own.request("GET", "/vexa/v1/health").status != 200 and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(own.get("/vexa/v1/auth/me").status, 200)
            self.assertEqual(own.request("GET", "/vexa/v1/openapi.json").json["servers"], [{"url": "/vexa/v1"}])
            r = own.request("GET", "/vexa/v1/bots/?x=1")
            self.assertEqual((r.status, r.headers["location"]), (307, "/vexa/v1/bots?x=1"))
            self.assertEqual(own.request("PUT", "/vexa/v1/bots").status, 405)
            for path in ("/health", "/bots", "/vexa/v1", "/vexa/v1/", "/vexa/v1x/health", "/vexa/health", "/vexa/v1/vexa/v1/health"):
                r = own.request("GET", path)
                self.assertEqual((r.status, r.json["code"]), (404, "not_found"), path)
        finally:
            self.assertEqual(own.remove(), [])


if __name__ == "__main__":
    unittest.main()
