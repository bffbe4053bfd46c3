"""Keeps docs/ true: its tables against the headers and the running binary, its examples by running
them.

A fenced block marked `sh` in docs/api.md is run as it stands, in order, with base_url, api_key and
admin_token set; every curl in it must succeed. A first line `# answers NNN` says which status the
curl gets instead. A `json` block right after it shows the answer: the same names at every level,
and values of the same types. README.md's first session and the bot of docs/operations.md are run
as well.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

from harness import SLOW, TOP, Instance, TestCase

API = os.path.join("docs", "api.md")
OPERATIONS = os.path.join("docs", "operations.md")
AUTH = {"AdminKey": "admin", "MeetingToken": "meeting token"}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def macro_rows(path, name):
    """The arguments of each X(...) row of a table macro, as Python values."""
    text = read(path).replace("\\\n", " ")
    line = re.search(r"#define %s\(X\)(.*)" % name, text).group(1)
    token = r'"(?:[^"\\]|\\.)*"|[^\s,()]+'
    for row in re.findall(r'X\(((?:"(?:[^"\\]|\\.)*"|[^")])*)\)', line):
        cells = re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", row)
        yield [" ".join(t.strip('"') if t[0] == '"' else t for t in re.findall(token, c)) for c in cells]


def config_rows():
    for _, section, name, kind, default, low, high, doc in macro_rows("lib/config_keys.h", "CONFIG_KEYS"):
        bounds = "%s to %s" % (low, high) if kind == "int" else ""
        yield "| `%s.%s` | %s | %s | %s | %s |" % (
            section, name, kind, "`%s`" % default if default else "empty", bounds, doc)


def error_rows():
    for _, status, code, detail, retry in macro_rows("lib/err.h", "VX_ERR_TABLE"):
        yield "| %s | `%s` | %s | %s |" % (status, code, detail, "%s s" % retry if retry != "0" else "")


def route_rows(openapi):
    """One row for each route that can succeed."""
    for path, item in openapi["paths"].items():
        for method, op in item.items():
            if method == "parameters" or not any(s[0] in "23" for s in op["responses"]):
                continue
            schemes = [s for entry in op.get("security", []) for s in entry]
            who = next((AUTH[s] for s in schemes if s in AUTH), None)
            if not who:
                who = " or ".join("`%s`" % s for s in op.get("x-scopes", [])) or ("any key" if schemes else "open")
            yield "| %s | `%s` | %s | %s |" % (method.upper(), path, who, op["summary"])


def table_after(path, mark):
    """Rows of the table below a line, without its two heading lines."""
    lines = read(path).split(mark, 1)[1].strip("\n").split("\n")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows[2:]


def fences(path):
    """(language, text) of every fenced block, in order, and the text between two blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", read(path), re.M | re.S)


def shape_fault(want, got, at="answer"):
    """How got differs from what the page shows, None when it does not."""
    if isinstance(want, dict) and isinstance(got, dict):
        if want and set(want) != set(got):
            return "%s has %s, the page shows %s" % (at, sorted(got), sorted(want))
        return next((f for f in (shape_fault(want[k], got[k], "%s.%s" % (at, k)) for k in want) if f), None)
    if isinstance(want, list) and isinstance(got, list):
        if want and not got:
            return "%s is empty" % at
        return shape_fault(want[0], got[0], at + "[0]") if want else None
    if isinstance(want, (int, float)) and isinstance(got, (int, float)) and type(want) is not bool:
        return None
    if type(want) is not type(got):
        return "%s is %r, the page shows %r" % (at, got, want)
    return None


class Docs(TestCase):
    def same_table(self, path, mark, rows):
        shown, rows = table_after(path, mark), list(rows)
        self.assertGreater(len(rows), 10)
        self.assertEqual([r for r in rows if r not in shown], [], "rows that %s lacks" % path)
        self.assertEqual([r for r in shown if r not in rows], [], "rows of %s that are not true" % path)

    def test_every_config_key_is_documented(self):
        self.same_table(OPERATIONS, "<!-- config -->", config_rows())

    def test_every_error_code_is_documented(self):
        self.same_table(API, "<!-- errors -->", error_rows())

    def test_every_route_is_documented(self):
        self.same_table(API, "<!-- routes -->", route_rows(self.vexa.get("/openapi.json").json))

    def test_links_lead_somewhere(self):
        for page in [os.path.join("docs", n) for n in os.listdir(os.path.join(TOP, "docs")) if n.endswith(".md")]:
            for target, anchor in re.findall(r"\]\(([^):#]*)(?:#([^)]*))?\)", read(page)):
                path = os.path.normpath(os.path.join("docs", target)) if target else page
                self.assertTrue(os.path.exists(os.path.join(TOP, path)), "%s: %s" % (page, target))
                if anchor:
                    heads = re.findall(r"^#+ (.*)$", read(path), re.M)
                    slugs = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads]
                    self.assertIn(anchor, slugs, page)

    def run_shell(self, text, folder, v):
        """Runs shell text as a reader would. Returns (exit status, standard output, error)."""
        answers = re.match(r"# answers (\d{3})\n", text)
        curl = "-sS -w '\\n%{http_code}'" if answers else "-sS --fail-with-body"
        head = 'set -eu -o pipefail\ncurl() { command curl %s -m %d "$@" && echo; }\n' % (curl, 60 * SLOW)
        env = dict(os.environ, base_url=v.env["base_url"], api_key=v.key, admin_token=v.admin)
        p = subprocess.run(["bash", "-c", head + text], cwd=folder, env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=200 * SLOW)
        out = p.stdout
        if answers and p.returncode == 0:
            out, _, status = out.rstrip("\n").rpartition("\n")
            self.assertEqual(status, answers.group(1), text + out)
        self.assertEqual(p.returncode, 0, "%s\n%s%s" % (text, out, p.stderr))
        return out

    def test_examples_of_the_api_page(self):
        v = Instance()
        folder = tempfile.mkdtemp(prefix="vexa-docs-")
        try:
            out, ran = None, 0
            for language, text in fences(API):
                if language == "sh":
                    out = self.run_shell(text, folder, v)
                    ran += 1
                elif language == "json":
                    self.assertIsNotNone(out, "an answer without its request:\n" + text)
                    last = [l for l in out.split("\n") if l.strip()][-1]
                    self.assertIsNone(shape_fault(json.loads(text), json.loads(last)), text + last)
                    out = None
                else:
                    out = None
            self.assertGreater(ran, 20)
        finally:
            shutil.rmtree(folder)
            self.assertEqual(v.remove(), [])

    def test_first_session_of_the_readme(self):
        session = read("README.md").split("## A first session", 1)[1].split("\n## ", 1)[0]
        lines = [l.strip() for l in session.split("\n") if re.match(r" {4}|```|$", l) and "quickstart.env" not in l]
        v = Instance()
        try:
            text = "\n".join(l for l in lines if not l.startswith("```")) + "\n"
            self.assertIn("curl", text)
            out = self.run_shell(text, v.dir, v)
            self.assertIn('"type":"meeting-end"', out)
            self.assertIn('"segments":[{', out)
        finally:
            self.assertEqual(v.remove(), [])

    def test_the_bot_of_the_operations_page(self):
        script = next(t for l, t in fences(OPERATIONS) if l == "sh" and t.startswith("#!/bin/sh"))
        folder = tempfile.mkdtemp(prefix="vexa-docs-")
        path = os.path.join(folder, "bot")
        with open(path, "w") as f:
            f.write(script)
        os.chmod(path, 0o755)
        v = Instance(config={"bots.teams": path})
        try:
            row = v.wait_status(v.send_bot("shell-bot", platform="teams")["id"], ("completed", "failed"))
            self.assertEqual((row["status"], row["completion_reason"]), ("completed", "left_alone"))
            segments = v.get("/transcripts/by-id/%d" % row["id"]).json["segments"]
            self.assertEqual([(s["speaker"], s["text"]) for s in segments], [("Ada", "Hello from a shell.")])
        finally:
            shutil.rmtree(folder)
            self.assertEqual(v.remove(), [])
