"""Users and API keys (spec/gateway-identity.md §1.3, §2.2-2.3, §3; shapes.md; issue 01): what the
admin may do with them, what a key proves, and where no secret may ever be found."""

import hashlib
import json
import os
import re
import sqlite3
import stat
import threading
import time
import unittest

from harness import SLOW, Instance, TestCase

UTC = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"
KEY = {"bot": r"^vxa_bot_[A-Za-z0-9]{32}$", "tx": r"^vxa_tx_[A-Za-z0-9]{32}$", "browser": r"^vxa_browser_[A-Za-z0-9]{32}$"}
ADMIN_CALLS = (("POST", "/admin/users"), ("GET", "/admin/users/1"), ("PATCH", "/admin/users/1"), ("GET", "/admin/users/email/a@b.c"),
               ("POST", "/admin/users/1/tokens"), ("GET", "/admin/users/1/tokens"), ("DELETE", "/admin/tokens/1"), ("GET", "/metrics"))


def parallel(n, work):
    """Runs work(i) in n threads that start together; returns what they returned."""
    out, barrier = [None] * n, threading.Barrier(n)

    def run(i):
        barrier.wait()
        out[i] = work(i)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def seconds(text):
    return time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


class Identity(TestCase):
    made = 0

    def email(self, tag="who"):
        Identity.made += 1
        return "%s.%d.%d@example.com" % (tag, Identity.made, time.monotonic_ns())

    def admin(self, method, path, body=None, **kw):
        return self.vexa.as_admin(method, path, body, **kw)

    def user(self, **fields):
        r = self.admin("POST", "/admin/users", dict({"email": self.email()}, **fields))
        self.assertEqual(r.status, 201, r)
        return r.json

    def refused(self, r, type, loc, **more):
        """A 422 list of one fault."""
        self.assertEqual((r.status, r.json["code"]), (422, "validation_error"), r)
        item = r.json["detail"][0]
        self.assertEqual((len(r.json["detail"]), item["type"], item["loc"]), (1, type, loc), r)
        for name, value in more.items():
            self.assertEqual(item[name], value, r)

    def sql(self, text, *values):
        db = sqlite3.connect(os.path.join(self.vexa.dir, "vexa.db"), timeout=10)
        try:
            db.execute("PRAGMA wal_autocheckpoint=0")
            n = db.execute(text, values).rowcount
            db.commit()
            return n
        finally:
            db.close()


class Users(Identity):
    def test_find_or_create(self):
        email = self.email()
        r = self.admin("POST", "/admin/users", {"email": email})
        self.assertEqual(r.status, 201)
        self.assertEqual(list(r.json), ["id", "email", "name", "max_concurrent_bots", "data"])
        self.assertEqual(r.json, {"id": r.json["id"], "email": email, "name": None, "max_concurrent_bots": 3, "data": {}})
        again = self.admin("POST", "/admin/users", {"email": email, "name": "Other", "max_concurrent_bots": 9})
        self.assertEqual((again.status, again.json), (200, r.json))
        upper = self.admin("POST", "/admin/users", {"email": email.upper(), "name": "Zoë 😀", "max_concurrent_bots": 0})
        self.assertEqual((upper.status, upper.json["name"], upper.json["max_concurrent_bots"]), (201, "Zoë 😀", 0))
        self.assertNotEqual(upper.json["id"], r.json["id"])

    def test_body_rules(self):
        path, good = "/admin/users", {"email": "never@example.com"}
        long = "Input should be less than or equal to 2147483647"
        for body, type, loc, more in (
                ({}, "missing", ["body", "email"], {"input": {}, "msg": "Field required"}),
                ({"email": 5}, "string_type", ["body", "email"], {"input": 5}), ({"email": None}, "string_type", ["body", "email"], {}),
                ({"email": ""}, "string_too_short", ["body", "email"], {"ctx": {"min_length": 1}}),
                ({"email": "é" * 256}, "string_too_long", ["body", "email"], {"ctx": {"max_length": 255}}),
                (dict(good, name="n" * 101), "string_too_long", ["body", "name"], {"ctx": {"max_length": 100}}),
                (dict(good, name=1), "string_type", ["body", "name"], {}),
                (dict(good, max_concurrent_bots=None), "int_type", ["body", "max_concurrent_bots"], {}),
                (dict(good, max_concurrent_bots="5"), "int_type", ["body", "max_concurrent_bots"], {}),
                (dict(good, max_concurrent_bots=True), "int_type", ["body", "max_concurrent_bots"], {}),
                (dict(good, max_concurrent_bots=1.5), "int_from_float", ["body", "max_concurrent_bots"], {}),
                (dict(good, max_concurrent_bots=-1), "greater_than_equal", ["body", "max_concurrent_bots"], {"ctx": {"ge": 0}}),
                (dict(good, max_concurrent_bots=2**31), "less_than_equal", ["body", "max_concurrent_bots"], {"msg": long}),
                (dict(good, colour="red"), "extra_forbidden", ["body", "colour"], {"input": "red"}),
                (dict(good, data={}), "extra_forbidden", ["body", "data"], {})):
            self.refused(self.admin("POST", path, body), type, loc, **more)
        r = self.admin("POST", path, {"name": 1, "x": 2, "max_concurrent_bots": "y"})
        self.assertEqual([d["loc"][1] for d in r.json["detail"]], ["email", "name", "max_concurrent_bots", "x"])
        self.assertEqual(self.admin("GET", "/admin/users/email/never@example.com").status, 404)
        fits = self.user(email=self.email() + "é" * 200, name="é" * 100, max_concurrent_bots=2.0)
        self.assertEqual(fits["max_concurrent_bots"], 2)

    def test_concurrent_creates(self):
        for _ in range(3):
            email = self.email("race")
            answers = parallel(20, lambda i: self.admin("POST", "/admin/users", {"email": email, "name": "n%d" % i}))
            self.assertEqual(sorted(a.status for a in answers), [200] * 19 + [201])
            self.assertEqual(len({json.dumps(a.json) for a in answers}), 1)

    def test_reads(self):
        for email in (self.email(), "a+b " + self.email(), "ü" + self.email(), "x/y?z#&=%41" + self.email()):
            user = self.user(email=email)
            quoted = "".join("%%%02X" % b for b in email.encode())
            self.assertEqual(self.admin("GET", "/admin/users/email/" + quoted).json, user)
            self.assertEqual(self.admin("GET", "/admin/users/%d" % user["id"]).json, user)
        user = self.user()
        for shown in (user["email"], user["email"].replace("@", "%40")):
            self.assertEqual(self.admin("GET", "/admin/users/email/" + shown).json, user)
        for path in ("email/" + user["email"].upper(), "email/%20" + user["email"], "email/none", "0", "-1", "9999999999"):
            r = self.admin("GET", "/admin/users/" + path)
            self.assertEqual((r.status, r.json["detail"], r.json["code"]), (404, "User not found", "user_not_found"), path)
        self.refused(self.admin("GET", "/admin/users/abc"), "int_parsing", ["path", "user_id"], input="abc")
        for method, path, allow in (("GET", "/admin/users", "POST"), ("DELETE", "/admin/users/1", "GET, HEAD, PATCH"), ("PUT", "/admin/users/1", "GET, HEAD, PATCH")):
            r = self.admin(method, path)
            self.assertEqual((r.status, sorted(r.headers["allow"].split(", "))), (405, allow.split(", ")))

    def test_patch_merges(self):
        user = self.user(name="Keeps")
        path = "/admin/users/%d" % user["id"]
        first = {"subscription_tier": "pro", "nested": {"a": 1, "b": [1, 2.5, "ü😀", None, True]}, "n": 2**53 + 1, "f": 0.1, "": "empty key"}
        r = self.admin("PATCH", path, {"data": first})
        self.assertEqual((r.status, r.json), (200, dict(user, data=first)))
        r = self.admin("PATCH", path, {"data": {"nested": {"c": 1}, "n": None, "new": "x"}, "max_concurrent_bots": 7})
        want = dict(first, nested={"c": 1}, n=None, new="x")
        self.assertEqual((r.status, r.json["data"], r.json["max_concurrent_bots"]), (200, want, 7))
        self.assertEqual(self.admin("PATCH", path, {"max_concurrent_bots": 0, "data": None}).json["max_concurrent_bots"], 0)
        for body in ({}, {"data": {}}, {"max_concurrent_bots": None}, {"data": None}, {"data": {}, "max_concurrent_bots": None}):
            self.refused(self.admin("PATCH", path, body), "value_error", ["body"], input=body, ctx={"error": {}},
                         msg="Value error, at least one user field must be supplied")
        self.refused(self.admin("PATCH", path, {"email": "new@example.com"}), "extra_forbidden", ["body", "email"])
        for bad in ([], "x", 5):
            self.refused(self.admin("PATCH", path, {"data": bad}), "model_attributes_type", ["body", "data"], input=bad)
        self.refused(self.admin("PATCH", path, {"data": {"x": 1}, "max_concurrent_bots": -1}), "greater_than_equal", ["body", "max_concurrent_bots"])
        self.assertEqual(self.admin("PATCH", path).status, 422)
        self.assertEqual(self.admin("GET", path).json, dict(user, data=want, max_concurrent_bots=0))
        self.assertEqual(self.admin("PATCH", "/admin/users/999999", {"data": {"x": 1}}).status, 404)

    def test_patch_is_atomic(self):
        user = self.user()
        path = "/admin/users/%d" % user["id"]
        answers = parallel(20, lambda i: [self.admin("PATCH", path, {"data": {"key%d-%d" % (i, n): n}, "max_concurrent_bots": i}).status for n in range(5)])
        self.assertEqual(answers, [[200] * 5] * 20)
        data = self.admin("GET", path).json["data"]
        self.assertEqual(data, {"key%d-%d" % (i, n): n for i in range(20) for n in range(5)})

    def test_data_is_bounded(self):
        user = self.user()
        path = "/admin/users/%d" % user["id"]
        fits = {"x": "y" * (16384 - len('{"x":""}'))}
        r = self.admin("PATCH", path, {"data": fits})
        self.assertEqual((r.status, r.json["data"]), (200, fits))
        for more in ({"z": 1}, {"x": fits["x"] + "y"}, {"x": "ü" * 8192}):
            r = self.admin("PATCH", path, {"data": more, "max_concurrent_bots": 5})
            self.assertEqual((r.status, r.json["code"], r.json["limit"]), (413, "payload_too_large", 16384), r)
        self.assertEqual(self.admin("GET", path).json, dict(user, data=fits))
        self.assertEqual(self.admin("PATCH", path, {"data": {"x": "small"}}).json["data"], {"x": "small"})

    def test_secrets_are_redacted(self):
        user = self.user()
        path = "/admin/users/%d" % user["id"]
        shown = {"webhook_url": "https://example.com/hook", "webhook_events": {"meeting.completed": True}, "subscription_tier": "pro",
                 "model_prefs": {"model": "m"}, "transcription_prefs": {"url": "https://t.example"}, "calendar_connections": [{"name": "Work"}]}
        sent = json.loads(json.dumps(shown))
        sent.update(webhook_secret="hush-1", calendar_ics_url="https://cal.example/hush-2.ics", api_key="hush-6", nested=[{"deep": {"token": "hush-7"}}])
        sent["model_prefs"]["api_key"] = "hush-3"
        sent["transcription_prefs"]["token"] = "hush-4"
        sent["calendar_connections"][0]["ics_url"] = "https://cal.example/hush-5.ics"
        for r in (self.admin("PATCH", path, {"data": sent}), self.admin("GET", path), self.admin("GET", "/admin/users/email/" + user["email"]),
                  self.admin("POST", "/admin/users", {"email": user["email"]})):
            self.assertEqual((r.status, r.json["data"]), (200, dict(shown, nested=[{"deep": {}}])))
            self.assertNotIn(b"hush", r.body)
        r = self.admin("PATCH", path, {"data": {"seen": 1}})  # a merge keeps what is not shown
        self.assertEqual(self.sql("UPDATE users SET data = data WHERE id = ? AND data LIKE '%hush-1%hush-7%'", user["id"]), 1)


class Tokens(Identity):
    def mint(self, user, body=None, query="", **kw):
        return self.admin("POST", "/admin/users/%d/tokens%s" % (user, query), body, **kw)

    def rows(self, user):
        r = self.admin("GET", "/admin/users/%d/tokens" % user)
        self.assertEqual(r.status, 200, r)
        return r.json

    def test_formats(self):
        user = self.user()["id"]
        keys = []
        for scopes in (["bot"], ["tx"], ["browser"], ["tx", "bot"], ["browser", "bot", "tx"], ["bot", "bot"]):
            r = self.mint(user, {"scopes": scopes})
            self.assertEqual((r.status, list(r.json)), (201, ["id", "token", "user_id", "scopes"]))
            self.assertEqual((r.json["user_id"], r.json["scopes"]), (user, scopes))
            self.assertRegex(r.json["token"], KEY[scopes[0]])
            self.assertEqual(r.headers.get("cache-control"), "no-store")
            self.assertEqual(self.vexa.get("/auth/me", key=r.json["token"]).json["scopes"], scopes)
            keys.append(r.json["token"])
        self.assertEqual(len(set(keys)), len(keys))

    def test_where_scopes_come_from(self):
        user = self.user()["id"]
        for body, query, scopes in (
                (None, "", ["bot"]), ({}, "", ["bot"]), ({"scopes": None}, "", ["bot"]), (None, "?scope=tx", ["tx"]),
                (None, "?scopes=tx,bot", ["tx", "bot"]), (None, "?scopes=%20tx%20,,%20bot,", ["tx", "bot"]), (None, "?scope=tx&scopes=browser", ["browser"]),
                (None, "?scope=foo&scopes=browser", ["browser"]), (None, "?scope=tx&scope=bot", ["bot"]), ({"scopes": ["tx"]}, "?scopes=bot,browser", ["tx"]),
                ({"scopes": [" tx ", "", "bot"]}, "?scopes=foo", ["tx", "bot"]), ({"scopes": None}, "?scopes=tx", ["tx"])):
            r = self.mint(user, body, query)
            self.assertEqual((r.status, r.json["scopes"]), (201, scopes), (body, query))
        for raw in (b"", b"null", b"{}"):
            r = self.mint(user, raw=raw, headers={"Content-Type": "application/json"})
            self.assertEqual((r.status, r.json["scopes"]), (201, ["bot"]), raw)
        n = len(self.rows(user))
        text = "Invalid scope(s): %s. Valid: ['bot', 'browser', 'tx']"
        for body, query, detail in (
                ({"scopes": []}, "", "scopes must not be empty"), ({"scopes": [" "]}, "", "scopes must not be empty"), (None, "?scopes=", "scopes must not be empty"),
                (None, "?scopes=,", "scopes must not be empty"), (None, "?scope=", text % "['']"), (None, "?scope=%20bot", text % "[' bot']"),
                (None, "?scopes=BOT,tx,%22", text % "['BOT', '\"']"), ({"scopes": ["it's", 'a"\'b', "\\", "é", "\n x"]}, "", text % r"""["it's", 'a"\'b', '\\', 'é', 'x']""")):
            r = self.mint(user, body, query)
            self.assertEqual((r.status, r.json["detail"], r.json["code"]), (422, detail, "invalid_scope"), (body, query))
        for body, query, type, loc in (
                ({"scopes": "bot"}, "", "list_type", ["body", "scopes"]), ({"scopes": [1]}, "", "string_type", ["body", "scopes", 0]),
                ({"scope": "bot"}, "", "extra_forbidden", ["body", "scope"]), ({"name": 5}, "", "string_type", ["body", "name"]),
                ({"name": "n" * 256}, "", "string_too_long", ["body", "name"]), (None, "?name=" + "n" * 256, "string_too_long", ["query", "name"]),
                ({"expires_in": 0}, "", "greater_than", ["body", "expires_in"]), ({"expires_in": -5}, "", "greater_than", ["body", "expires_in"]),
                ({"expires_in": "60"}, "", "int_type", ["body", "expires_in"]), ({"expires_in": 1.5}, "", "int_from_float", ["body", "expires_in"]),
                ({"expires_in": 10**15}, "", "less_than_equal", ["body", "expires_in"]), (None, "?expires_in=", "int_parsing", ["query", "expires_in"]),
                (None, "?expires_in=soon", "int_parsing", ["query", "expires_in"]), (None, "?expires_in=0", "greater_than", ["query", "expires_in"]),
                (None, "?days=1", "extra_forbidden", ["query", "days"])):
            self.refused(self.mint(user, body, query), type, loc)
        self.assertEqual(len(self.rows(user)), n)
        for body in ({"scopes": ["foo"]}, {"scopes": []}, {"scopes": ["bot"]}):
            r = self.mint(999999, body)
            self.assertEqual((r.status, r.json["code"]), (404, "user_not_found"))

    def test_list(self):
        user = self.user()["id"]
        self.assertEqual(self.rows(user), [])
        now = time.time()
        made = [self.mint(user, {"scopes": ["tx", "bot"], "name": "ci 'é'", "expires_in": 3600}), self.mint(user, {"name": ""}, "?name=q"),
                self.mint(user, None, "?name=from%20query&expires_in=60"), self.mint(user, {"expires_in": 120, "name": None}, "?expires_in=60&name=q")]
        self.mint(self.user()["id"])
        rows = self.rows(user)
        self.assertEqual([r["id"] for r in rows], [m.json["id"] for m in made])
        self.assertEqual([r["name"] for r in rows], ["ci 'é'", "", "from query", "q"])
        for row, life in zip(rows, (3600, None, 60, 120)):
            self.assertEqual(list(row), ["id", "user_id", "scopes", "name", "created_at", "last_used_at", "expires_at"])
            self.assertEqual((row["user_id"], row["last_used_at"]), (user, None))
            self.assertRegex(row["created_at"], UTC)
            self.assertLess(abs(seconds(row["created_at"]) - now), 5 * SLOW)
            if life:
                self.assertRegex(row["expires_at"], UTC)
                self.assertLess(abs(seconds(row["expires_at"]) - now - life), 5 * SLOW)
            else:
                self.assertIsNone(row["expires_at"])
        body = self.admin("GET", "/admin/users/%d/tokens" % user).body
        for m in made:
            self.assertNotIn(m.json["token"][-32:].encode(), body)
        self.assertNotIn(b"hash", body)
        self.assertEqual(self.admin("DELETE", "/admin/tokens/%d" % rows[1]["id"]).status, 204)
        r = self.admin("DELETE", "/admin/tokens/%d" % rows[1]["id"])
        self.assertEqual((r.status, r.json["detail"], r.json["code"]), (404, "Token not found", "token_not_found"))
        self.refused(self.admin("DELETE", "/admin/tokens/x"), "int_parsing", ["path", "token_id"])
        self.assertEqual([r["id"] for r in self.rows(user)], [rows[i]["id"] for i in (0, 2, 3)])
        r = self.vexa.get("/auth/me", key=made[1].json["token"])
        self.assertEqual((r.status, r.json["detail"]), (401, "Invalid API key"))

    def used(self, user):
        return self.rows(user)[0]["last_used_at"]

    def wait_used(self, user, old):
        end = time.monotonic() + 5 * SLOW
        while self.used(user) == old and time.monotonic() < end:
            time.sleep(0.02)
        self.assertNotEqual(self.used(user), old)
        return self.used(user)

    def test_last_used(self):
        user = self.user()["id"]
        key = self.mint(user, {"scopes": ["tx"]}).json["token"]
        self.vexa.get("/auth/me", key=key + "x")
        self.assertIsNone(self.used(user))
        self.assertEqual(self.vexa.get("/bots", key=key).status, 403)  # a refused call is a use as well
        first = self.wait_used(user, None)
        self.assertRegex(first, UTC)
        for _ in range(20):
            self.vexa.get("/auth/me", key=key)
        time.sleep(0.3)
        self.assertEqual(self.used(user), first, "written again within a minute")
        for ago, again in ((50, False), (62, True)):
            self.assertEqual(self.sql("UPDATE tokens SET last_used_ms = ? WHERE user_id = ?", int((time.time() - ago) * 1000), user), 1)
            old = self.used(user)
            parallel(10, lambda i: self.vexa.get("/auth/me", key=key))
            if again:
                self.wait_used(user, old)
            else:
                time.sleep(0.3)
                self.assertEqual(self.used(user), old)


class AuthMe(Identity):
    def test_shape(self):
        user = self.user(max_concurrent_bots=2)
        for scopes in (["browser"], ["tx", "bot", "tx"]):
            key = self.vexa.new_key(user["id"], scopes)
            r = self.vexa.get("/auth/me", key=key)
            self.assertEqual((r.status, list(r.json)), (200, ["user_id", "email", "scopes", "max_concurrent"]))
            self.assertEqual(r.json, {"user_id": user["id"], "email": user["email"], "scopes": scopes, "max_concurrent": 2})
        self.admin("PATCH", "/admin/users/%d" % user["id"], {"max_concurrent_bots": 11})
        self.assertEqual(self.vexa.get("/auth/me", key=key).json["max_concurrent"], 11)
        self.assertEqual(self.sql("UPDATE tokens SET scopes = '' WHERE user_id = ?", user["id"]), 2)
        self.assertEqual(self.vexa.get("/auth/me", key=key).json["scopes"], ["legacy"])
        self.assertEqual([self.vexa.get(p, key=key).status for p in ("/bots", "/meetings", "/recordings")], [403] * 3)
        self.assertEqual(self.vexa.post("/auth/me", key=key).headers["allow"], "GET, HEAD")

    def test_carriers(self):
        key, other = self.vexa.key_of_new_user(), self.vexa.key_of_new_user()
        me = self.vexa.get("/auth/me", key=key).json
        for headers in ({"Authorization": "Bearer " + key}, {"Authorization": "bearer  " + key}, {"authorization": "BEARER\t" + key}, {"x-api-key": "  %s " % key},
                        {"X-API-Key": key, "Authorization": "Bearer " + other}, {"X-API-Key": "", "Authorization": "Bearer " + key},
                        {"X-API-Key": key, "X-User-Id": "1", "X-User-Scopes": "bot", "X-User-Email": "a@b.c", "X-User-Limits": "99"}):
            r = self.vexa.request("GET", "/auth/me", headers=headers)
            self.assertEqual((r.status, r.json), (200, me), headers)
        for path, headers, code in (("", {"Authorization": "Basic " + key}, "missing_api_key"), ("", {"Authorization": key}, "missing_api_key"),
                                    ("", {"Authorization": "Bearer"}, "missing_api_key"), ("", {"Authorization": "Bearer "}, "missing_api_key"), ("", {"Cookie": "api_key=" + key}, "missing_api_key"),
                                    ("", {"X-API-Key": "bad", "Authorization": "Bearer " + key}, "invalid_api_key"), ("", {"X-API-Key": "Bearer " + key}, "invalid_api_key"),
                                    ("", {"X-API-Key": key.lower()}, "invalid_api_key"), ("?api_key=" + key, {}, "missing_api_key")):
            r = self.vexa.request("GET", "/auth/me" + path, headers=headers)
            self.assertEqual((r.status, r.json["code"]), (401, code), headers)


class Secrets(Identity):
    def files(self):
        for folder, _, names in os.walk(self.vexa.dir):
            for name in names:
                path = os.path.join(folder, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as f:
                        yield path, f.read()

    def test_nothing_keeps_a_key(self):
        user = self.user()["id"]
        keys = [self.vexa.new_key(user, s) for s in (["bot"], ["tx", "bot"], ["browser"])]
        keys.append(self.vexa.command("token", "create", "--user", self.admin("GET", "/admin/users/%d" % user).json["email"], "--scopes", "bot,tx").strip())
        with open(os.path.join(self.vexa.dir, "vexa.conf")) as f:
            conf = dict(re.findall(r"^(\w+)\s*=\s*(\S+)", f.read(), re.M))
        for key in keys:
            self.assertEqual(self.vexa.get("/auth/me", key=key).status, 200)
            for path, headers in (("/bots?api_key=" + key, {}), ("/meetings?key=%s" % key, {"X-API-Key": key}), ("/none", {"X-API-Key": key}), ("/bots", {"Authorization": "Bearer " + key + "x"})):
                self.vexa.request("GET", path, headers=headers)
            self.vexa.post("/bots", raw=b'{"a":"%s"' % key.encode(), key=key)
        self.admin("GET", "/admin/users/zz")
        time.sleep(1.2)  # nginx writes its log once a second
        held = {k: [] for k in keys + [conf["admin_token"], conf["signing_key"], conf["internal_secret"]]}
        hashed = set()
        for path, data in self.files():
            for secret, found in held.items():
                if (secret[-32:] if secret in keys else secret).encode() in data:
                    found.append(os.path.relpath(path, self.vexa.dir))
            hashed |= {k for k in keys if hashlib.sha256(k.encode()).digest() in data}
        self.assertEqual(hashed, set(keys), "each key is there as its SHA-256")
        self.assertEqual({k: sorted(v) for k, v in held.items()},
                         dict({k: [] for k in keys}, **{conf["admin_token"]: ["quickstart.env", "vexa.conf"], conf["signing_key"]: ["vexa.conf"], conf["internal_secret"]: ["vexa.conf"]}))

    def test_modes(self):
        mode = lambda p: stat.S_IMODE(os.stat(os.path.join(self.vexa.dir, p)).st_mode)
        self.assertEqual([mode(p) for p in ("vexa.conf", "quickstart.env", ".")], [0o600, 0o600, 0o700])
        for name in ("vexa.db", "vexa.db-wal", "vexa.db-shm", "log", "pids"):
            self.assertEqual(mode(name) & 0o007, 0, name)
        sock = self.vexa.command("config", "show", "server.socket").strip()
        self.assertTrue(stat.S_ISSOCK(os.stat(sock).st_mode))
        self.assertEqual((mode(sock), mode(os.path.dirname(sock)) & 0o027), (0o660, 0))

    def test_no_admin_token(self):
        """Unset means every admin call is 403, whatever is sent; keys go on working."""
        own = Instance()
        try:
            own.set_config({"server.admin_token": ""})
            own.wait_new_pid("fcgi", own.kill("fcgi"))
            own.wait_ready()
            for token in (None, "", " ", '""', own.admin, "changeme", "admin", "x" * 5000):
                for method, path in ADMIN_CALLS:
                    r = own.request(method, path, admin=token)
                    self.assertEqual((r.status, r.json["detail"]), (403, "Invalid or missing admin token."), (token, path))
            self.assertEqual(own.get("/auth/me").status, 200)
        finally:
            self.assertEqual(own.remove(), [])


if __name__ == "__main__":
    unittest.main()
