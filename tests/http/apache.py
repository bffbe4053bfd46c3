"""Real web servers in a temporary folder: Apache 2.4 (mod_proxy_fcgi, mod_fcgid, mod_fcgid by
.htaccess alone, plain CGI) with the samples of nginx/ as they are, but for names and paths.

Apache refuses to serve as root, so as root everything of a site (instance, runner, Apache) runs as
nobody, in a folder that is nobody's.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from harness import SLOW, TOP, free_port

MODULES = "/usr/lib/apache2/modules"
BASE = ["mpm_event", "authz_core", "alias", "asis", "env", "headers", "unique_id", "mime", "dir"]
# Where an Apache was built with modules inside, they are not there as files.
NOBODY = 65534


def apache_binary():
    for path in ("/usr/sbin/apache2", "/usr/sbin/httpd"):
        if os.path.exists(path):
            return path
    return None


def as_who():
    """What runs a command as the user of the site: Apache does not serve as root."""
    if os.geteuid() == 0:
        return ["setpriv", "--reuid=%d" % NOBODY, "--regid=%d" % NOBODY, "--clear-groups"]
    return []


def shared_memory():
    """mod_fcgid keeps its process table in POSIX shared memory, which some chroots do not have."""
    return subprocess.run(as_who() + ["test", "-w", "/dev/shm"]).returncode == 0


class Site(harness.Instance):
    """An instance behind Apache. What starts its responders differs; tests see an Instance."""

    sample = None   # of nginx/
    modules = []
    supervised = False  # vexa up runs the responder; else Apache starts them and we run the runner

    def __init__(self, speed=60, config=None):
        super().__init__(speed=speed, config=config, start=False)
        self.prefix = as_who()
        shutil.copy(self.vexa, os.path.join(self.tmp, "vexa"))
        os.chmod(os.path.join(self.tmp, "vexa"), 0o755)
        self.vexa = os.path.join(self.tmp, "vexa")
        self.processes = {}
        for name in ("site", "apache"):
            os.mkdir(os.path.join(self.tmp, name))
        self.write_site()
        self.give_away()
        self.start()

    def give_away(self):
        """Everything in the folder belongs to who runs it."""
        if self.prefix:
            for root, _, files in os.walk(self.tmp):
                for path in [root] + [os.path.join(root, f) for f in files]:
                    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def run(self, *args):
        out = subprocess.run(self.prefix + [self.vexa, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, timeout=60, cwd=self.tmp, env=self.environment())
        if out.returncode:
            raise RuntimeError("vexa %s: %s%s" % (" ".join(args), out.stdout, out.stderr))
        return out.stdout

    def command(self, *args, **kw):
        return self.run(args[0], *args[1:], "--dir", self.dir)

    def environment(self):
        env = {k: v for k, v in os.environ.items() if k.startswith(("ASAN", "UBSAN", "PATH", "LANG"))}
        env["TMPDIR"] = self.tmp
        return env

    def begin(self, name, *command):
        log = open(self.path(name + ".log"), "ab")
        p = subprocess.Popen(self.prefix + list(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             cwd=self.tmp, env=self.environment(), start_new_session=True)
        log.close()
        self.processes[name] = p
        return p

    def start(self):
        self.command("init", "--base-url", "http://127.0.0.1:%d" % self.port, "--speed", str(self.speed))
        self.set_config(self.config)
        with open(os.path.join(self.dir, "vexa.conf")) as f:
            self.admin = re.search(r"^admin_token *= *(\S+)", f.read(), re.M).group(1)
        self.give_away()
        self.write_conf()
        self.give_away()
        self.begin("vexa", self.vexa, "up" if self.supervised else "runner", "--dir", self.dir)
        self.begin("httpd", apache_binary(), "-f", self.path("apache", "httpd.conf"), "-DFOREGROUND")
        self.key = "none"
        try:
            self.wait_ready()
            self.key = self.key_of_new_user()
        except Exception as e:
            logs = self.logs()
            self.remove()
            raise RuntimeError("Apache site did not start: %s\n%s" % (e, logs))

    def logs(self):
        text = ""
        for name in ("httpd.log", "apache/error.log", "vexa.log"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), errors="replace") as f:
                    text += "--- %s\n%s" % (name, f.read()[-3000:])
        return text

    def set_config(self, values):
        super().set_config(values)
        self.give_away()

    def recording(self, platform, native_id, text):
        super().recording(platform, native_id, text)
        self.give_away()

    def write_site(self):
        """What lies where Apache serves from."""

    def substitutions(self):
        return []

    def sample_text(self):
        with open(os.path.join(TOP, "nginx", self.sample)) as f:
            text = f.read()
        shutil.copy(os.path.join(TOP, "nginx", "apache-503.asis"), self.path("apache", "503.asis"))
        for old, new in [("*:80", "127.0.0.1:%d" % self.port), ("vexa.example.org", "localhost"),
                         ("/etc/vexa/apache-503.asis", self.path("apache", "503.asis"))] + self.substitutions():
            if old not in text:
                raise RuntimeError("%s does not mention %s" % (self.sample, old))
            text = text.replace(old, new)
        return text

    def write_conf(self):
        lines = ["ServerRoot " + self.path("apache"), "PidFile " + self.path("apache", "httpd.pid"),
                 "DefaultRuntimeDir " + self.path("apache"), "Mutex file:" + self.path("apache"),
                 "Listen 127.0.0.1:%d" % self.port, "ServerName localhost", "ErrorLog " + self.path("apache", "error.log"),
                 "DocumentRoot " + self.path("site"), "StartServers 1", "ServerLimit 2", "ThreadsPerChild 64",
                 "MaxRequestWorkers 128", "KeepAliveTimeout 30", "TypesConfig /dev/null",
                 "<Directory />", "    Require all denied", "</Directory>"]
        for name in reversed(BASE + self.modules):
            if os.path.exists("%s/mod_%s.so" % (MODULES, name)):
                lines.insert(0, "LoadModule %s_module %s/mod_%s.so" % (name, MODULES, name))
        with open(self.path("apache", "httpd.conf"), "w") as f:
            f.write("\n".join(lines + self.more_conf()) + "\n" + self.server_text())

    def more_conf(self):
        return []

    def server_text(self):
        return self.sample_text()

    def responders(self):
        """Pids of the processes that answer for this instance."""
        found = []
        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
                with open("/proc/%s/environ" % pid, "rb") as f:
                    env = f.read().split(b"\0")
            except OSError:
                continue
            dir_ = self.dir.encode()
            if (b"fcgi" in words and dir_ in words) or (words[0].endswith(b"vexa.fcgi") and b"VEXA_DIR=" + dir_ in env):
                found.append(int(pid))
        return found

    def kill_responders(self):
        """SIGKILL to all of them; how many there were."""
        n = 0
        for pid in self.responders():
            try:
                os.kill(pid, signal.SIGKILL)
                n += 1
            except ProcessLookupError:
                pass
        return n

    def stop(self):
        if os.path.isdir(self.dir) and self.processes:
            self.run("down", "--dir", self.dir)  # while bots still can say goodbye
        for name in ("vexa", "httpd"):
            p = self.processes.pop(name, None)
            if not p:
                continue
            p.terminate()
            try:
                p.wait(3 * SLOW)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)  # Apache waits up to 10 s for its streams; a session of our own
                p.wait()
        end = time.monotonic() + 5 * SLOW
        while self.responders() and time.monotonic() < end:
            time.sleep(0.05)
        self.left_over = self.kill_responders()

    def reports(self):
        found = super().reports()
        for name in ("httpd.log", "apache/error.log", "vexa.log"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), errors="replace") as f:
                    text = f.read()
                for word in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer"):
                    if word in text:
                        found.append(text[text.index(word):][:3000])
        return found


class ProxySite(Site):
    sample = "apache-proxy-fcgi.conf"
    modules = ["proxy", "proxy_fcgi"]
    supervised = True

    def substitutions(self):
        return [("/run/vexa/vexa.sock|", self.path("instance", "run", "vexa.sock") + "|")]


class FcgidSite(Site):
    """mod_fcgid with a server config of our own: streams are live."""
    sample = "apache-mod-fcgid.conf"
    modules = ["fcgid"]

    def substitutions(self):
        return [("/usr/local/bin/vexa", self.vexa), ("--dir /var/lib/vexa", "--dir " + self.dir)]

    def more_conf(self):
        return ["FcgidIPCDir " + self.path("apache", "fcgid"), "FcgidProcessTableFile " + self.path("apache", "fcgid.shm"),
                "FcgidErrorScanInterval 1", "FcgidZombieScanInterval 1"]


class HtaccessSite(FcgidSite):
    """mod_fcgid as hosts have it: 64 KiB are gathered. Only the site's folder is ours."""
    sample = "htaccess"
    modules = ["fcgid", "rewrite"]

    def substitutions(self):
        return []

    def sample_text(self):
        with open(os.path.join(TOP, "nginx", "htaccess")) as f:
            return f.read()

    def write_site(self):
        with open(self.path("site", ".htaccess"), "w") as f:
            f.write(self.sample_text())
        with open(self.path("site", "vexa.fcgi"), "w") as f:
            f.write("#!/bin/sh\nexec %s fcgi --dir %s\n" % (self.vexa, self.dir))
        os.chmod(self.path("site", "vexa.fcgi"), 0o755)

    def server_text(self):
        return "<Directory \"%s\">\n    Require all granted\n    AllowOverride All\n</Directory>\n" % self.path("site")


class CgiSite(Site):
    sample = "apache-cgi.conf"
    modules = ["cgid"]

    def substitutions(self):
        return [("/usr/local/lib/vexa", self.path("site")), ("/var/lib/vexa\n    <", self.dir + "\n    <")]

    def write_site(self):
        os.symlink(self.vexa, self.path("site", "vexa.fcgi"))

    def more_conf(self):
        return ["ScriptSock " + self.path("apache", "cgid.sock")]
