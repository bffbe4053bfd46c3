"""The agent workspace through nginx: its shapes, whose it is, and an agent that plants things."""

import os
import subprocess
import threading
import unittest
from urllib.parse import quote

from harness import TestCase

BASE = "/agent/workspace"
TEMPLATE = ["CLAUDE.md", "README.md", "kg/entities/company/index.md", "kg/entities/index.md",
            "kg/entities/meeting/index.md", "kg/entities/person/index.md", "log.md", "policy/README.md"]


class Workspace(TestCase):
    def setUp(self):
        self.user = self.vexa.new_user()
        self.key = self.vexa.new_key(self.user)
        self.root = os.path.join(self.vexa.dir, "workspaces", str(self.user))
        self.git = os.path.join(self.vexa.dir, "git", "%d.git" % self.user)

    def get(self, path, status=200, key=None):
        r = self.vexa.get(BASE + path, key=key or self.key)
        self.assertEqual(r.status, status, r)
        return r.json

    def file(self, path, status=200, key=None):
        return self.get("/file?path=" + quote(path), status, key)

    def refused(self, path, status, code, detail):
        body = self.get(path, status)
        self.assertEqual((body["code"], body["detail"]), (code, detail), path)

    def write(self, path, text):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def test_first_use(self):
        self.assertEqual(self.get("/tree"), {"files": TEMPLATE, "truncated": False})
        self.assertEqual(os.stat(self.root).st_mode & 0o777, 0o700)
        self.assertFalse(os.path.exists(os.path.join(self.root, ".git")))
        body = self.file("kg/entities/index.md")
        self.assertEqual((set(body), body["path"]), ({"path", "content"}, "kg/entities/index.md"))
        with open(os.path.join(self.root, "kg/entities/index.md"), encoding="utf-8") as f:
            self.assertEqual(body["content"], f.read())
        state = self.get("/git")
        self.assertEqual((state["branch"], state["changes"], state["truncated"]), ("main", [], False))
        self.assertEqual(len(state["commits"]), 1)
        commit = state["commits"][0]
        self.assertEqual({k: commit[k] for k in ("msg", "author", "kind", "files")},
                         {"msg": "seed", "author": "vexa-agent", "kind": "system", "files": TEMPLATE})
        self.assertRegex(commit["when"], r"^\d+ seconds? ago$")
        self.assertRegex(commit["sha"], r"^[0-9a-f]{7,40}$")
        shown = self.get("/git/show?sha=%s&path=log.md" % commit["sha"])
        self.assertEqual({k: shown[k] for k in ("sha", "path", "truncated")},
                         {"sha": commit["sha"], "path": "log.md", "truncated": False})
        self.assertIn("\n+# Log\n", shown["diff"])
        self.assertIsNone(self.get("/git/show?sha=ffff")["path"])
        self.assertEqual(self.get("/git/show?sha=HEAD")["diff"], "")

    def test_init(self):
        for seeded in (True, False, False):
            r = self.vexa.post(BASE + "/init", key=self.key)
            self.assertEqual((r.status, r.json), (201, {"workspace": self.root, "seeded": seeded, "system_seeded": False,
                                                        "already_initialized": not seeded}))

    def test_init_takes_nothing(self):
        r = self.vexa.post(BASE + "/init", {"repo": "x"}, key=self.key)
        self.assertEqual((r.status, r.json["detail"][0]["loc"]), (422, ["body", "repo"]))
        self.assertFalse(os.path.exists(self.root))
        self.assertEqual(self.vexa.post(BASE + "/init", {}, key=self.key).status, 201)

    def test_first_use_by_many_at_once(self):
        answers, lock = [], threading.Lock()

        def one():
            r = self.vexa.post(BASE + "/init", key=self.key)
            with lock:
                answers.append((r.status, r.json.get("seeded")))

        threads = [threading.Thread(target=one) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [(201, False)] * 11 + [(201, True)])
        self.assertEqual(len(self.get("/git")["commits"]), 1)

    def test_changes(self):
        self.get("/tree")
        self.write("log.md", "# Lug\n")
        self.write("kg/entities/person/zoë.md", "x")
        self.write("with space.md", "x")
        os.remove(os.path.join(self.root, "README.md"))
        self.assertEqual(self.get("/git")["changes"], [
            {"path": "README.md", "kind": "D"}, {"path": "kg/entities/person/zoë.md", "kind": "A"},
            {"path": "log.md", "kind": "M"}, {"path": "with space.md", "kind": "A"}])
        self.assertEqual(self.file("kg/entities/person/zoë.md")["content"], "x")

    def test_paths(self):
        self.get("/tree")
        for path in ("", ".", "..", "../x", "kg/../../x", "/etc/passwd", self.root + "/README.md", ".git/config", "kg/.GIT/x"):
            self.refused("/file?path=" + quote(path), 400, "invalid_path", "invalid path")
            if path:
                self.refused("/git/show?sha=abcd&path=" + quote(path), 400, "invalid_path", "invalid path")
        for path in ("none", "kg", "README.md/x", "kg/none.md"):
            self.refused("/file?path=" + quote(path), 404, "file_not_found", "not found")
        self.assertEqual(self.get("/file?path=a%00b", 400)["code"], "bad_request")
        for path, name in (("/file", "path"), ("/git/show", "sha")):
            item = self.get(path, 422)["detail"][0]
            self.assertEqual((item["type"], item["loc"]), ("missing", ["query", name]))
        self.assertEqual(self.get("/tree?hidden=maybe", 422)["detail"][0]["loc"], ["query", "hidden"])

    def test_contents(self):
        self.get("/tree")
        self.write("latin.txt", b"\xe9t\xe9")
        self.refused("/file?path=latin.txt", 400, "not_text", "not a text file")
        self.write("nul.txt", b"a\0b\n")
        self.assertEqual(self.file("nul.txt")["content"], "a\0b\n")
        self.write("empty", b"")
        self.assertEqual(self.file("empty")["content"], "")
        self.write("large", b"x" * (1 << 20))
        self.assertEqual(len(self.file("large")["content"]), 1 << 20)
        self.write("large", b"x" * (1 << 20) + b"y")
        body = self.file("large", 413)
        self.assertEqual((body["code"], body["limit"], body["detail"]), ("payload_too_large", 1 << 20, "File is larger than 1048576 bytes"))

    def test_planted_links(self):
        self.get("/tree")
        other = self.vexa.new_user()
        self.get("/tree", key=self.vexa.new_key(other))
        for name, target in (("db", self.vexa.dir + "/vexa.db"), ("up", "../%d/README.md" % other), ("conf", "../../vexa.conf"),
                             ("git", "../../git"), ("proc", "/proc/self/environ"), ("here", "README.md"), ("kg/self", ".")):
            os.symlink(target, os.path.join(self.root, name))
        for path in ("db", "up", "conf", "git/%d.git/config" % self.user, "proc"):
            self.refused("/file?path=" + quote(path), 400, "invalid_path", "invalid path")
        self.assertEqual(self.file("here")["content"], self.file("README.md")["content"])
        self.assertEqual(self.file("kg/self/self/entities/index.md")["path"], "kg/self/self/entities/index.md")
        self.assertEqual(self.get("/tree")["files"], sorted(TEMPLATE + ["here"]))

    def test_planted_git(self):
        """A .git of the agent's own, with a worktree elsewhere, hooks and filters, changes nothing."""
        self.get("/tree")
        ran = os.path.join(self.vexa.tmp, "ran-%d" % self.user)
        subprocess.run(["git", "init", "-q", self.root], check=True) if self.has_git() else os.makedirs(self.root + "/.git/hooks")
        with open(self.root + "/.git/config", "w") as f:
            f.write('[core]\n\tworktree = /etc\n\tfsmonitor = "touch %s"\n[filter "x"]\n\tclean = touch %s\n\tsmudge = touch %s\n\trequired\n' % (ran, ran, ran))
        self.write(".git/hooks/post-index-change", "#!/bin/sh\ntouch %s\n" % ran)
        os.chmod(self.root + "/.git/hooks/post-index-change", 0o755)
        self.write(".gitattributes", "* filter=x diff=x\n")
        self.write(".gitignore", "*\n")
        self.write("sub/.git", "gitdir: %s\n" % self.vexa.dir)
        self.write("new.md", "x")
        self.assertEqual([c["path"] for c in self.get("/git")["changes"]], [".gitattributes", ".gitignore", "new.md"])
        self.assertEqual(self.get("/tree?hidden=true")["files"], sorted(TEMPLATE + [".gitattributes", ".gitignore", "new.md"]))
        self.assertEqual(self.get("/tree")["files"], sorted(TEMPLATE + ["new.md"]))
        self.refused("/file?path=.git/config", 400, "invalid_path", "invalid path")
        self.refused("/file?path=sub/.git", 400, "invalid_path", "invalid path")
        self.assertFalse(os.path.exists(ran))

    def has_git(self):
        return any(os.access(os.path.join(p, "git"), os.X_OK) for p in os.environ["PATH"].split(":"))

    def test_locks_left_behind(self):
        self.get("/tree")
        for name in ("index.lock", "HEAD.lock", "config.lock", "refs/heads/main.lock"):
            open(os.path.join(self.git, name), "w").close()
        self.assertEqual(self.get("/git")["changes"], [])
        self.assertEqual(self.vexa.post(BASE + "/init", key=self.key).status, 201)

    def test_huge_tree(self):
        self.get("/tree")
        os.mkdir(os.path.join(self.root, "many"))
        for i in range(5100):
            open(os.path.join(self.root, "many", "%05d.md" % i), "w").close()
        body = self.get("/tree")
        self.assertEqual((len(body["files"]), body["truncated"]), (5000, True))
        self.assertEqual(body["files"], sorted(TEMPLATE[:-2] + TEMPLATE[-2:-1] + ["many/%05d.md" % i for i in range(5100)])[:5000])
        state = self.get("/git")
        self.assertEqual((len(state["changes"]), state["truncated"]), (500, True))

    def test_whose(self):
        """Two users never see each other, whatever they name."""
        theirs = self.vexa.new_user()
        key = self.vexa.new_key(theirs)
        self.get("/tree", key=key)
        other = os.path.join(self.vexa.dir, "workspaces", str(theirs))
        with open(os.path.join(other, "secret.md"), "w") as f:
            f.write("theirs")
        for path in ("/tree?", "/git?", "/git/show?sha=abcd&", "/file?path=secret.md&"):
            for slug in (str(theirs), "_system", "_global", "0%d" % self.user, "../%d" % theirs, "%20", "x" * 300):
                self.refused(path + "slug=" + quote(slug), 403, "workspace_forbidden", "not authorized for this workspace")
        for query in ("", "?slug=", "?slug=%d" % self.user, "?subject=%d" % theirs):
            self.assertEqual(self.get("/tree" + query)["files"], TEMPLATE)
        self.refused("/file?path=secret.md&subject=%d" % theirs, 404, "file_not_found", "not found")
        self.assertEqual(self.file("secret.md", key=key)["content"], "theirs")
        sha = self.get("/git", key=key)["commits"][0]["sha"]
        self.write("log.md", "mine")
        self.assertEqual(self.get("/git", key=key)["changes"], [{"path": "secret.md", "kind": "A"}])
        self.assertTrue(sha)

    def test_fsck(self):
        if not self.has_git():
            self.skipTest("git is not installed")
        self.get("/tree")
        out = subprocess.run(["git", "--git-dir", self.git, "fsck", "--strict"], capture_output=True, text=True)
        self.assertEqual((out.returncode, out.stdout), (0, ""), out.stderr)


if __name__ == "__main__":
    unittest.main()
