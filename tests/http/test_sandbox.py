"""The sandbox from outside: programs behind `vexa exec-in` try what they must not do.

Each attempt is a test of its own with the errno it must end in. After each, everything outside the
writable grants is compared byte by byte, name by name, mode by mode. No instance is needed: the
scene is a folder laid out like one. What this kernel cannot enforce is skipped with its reason.
"""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import SLOW, TOP

VEXA = os.environ["VEXA_BINARY"]
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else os.path.realpath(sys.executable)

# What the programs inside begin with. An attempt prints the errno it met, or THROUGH.
HEAD = r"""
import ctypes, errno, os, signal, socket, stat, sys
D, PID, PORT = %r, %d, %d
libc = ctypes.CDLL(None, use_errno=True)
def check(rc):
    if rc < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return rc
def p(*names): return os.path.join(D, *names)
def attempt():
%s
def report():
    try:
        attempt()
        print("THROUGH", flush=True)
    except OSError as e:
        print(errno.errorcode.get(e.errno, str(e.errno)), flush=True)
for generation in range(%d):
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
report()
"""

# name: (guard of the report, errno, code). In all of them work/ is granted read-only.
READ_ONLY = {
    "write by path": ("write", "EACCES", "os.open(p('work/note.md'), os.O_WRONLY)"),
    "append by path": ("write", "EACCES", "os.open(p('work/note.md'), os.O_WRONLY | os.O_APPEND)"),
    "read and write by path": ("write", "EACCES", "os.open(p('work/note.md'), os.O_RDWR)"),
    "write by a relative path": ("write", "EACCES", "os.chdir(p('work')); open('note.md', 'w')"),
    "write by a folder's descriptor": ("write", "EACCES", """d = os.open(p('work'), os.O_RDONLY)
os.open('note.md', os.O_WRONLY, dir_fd=d)"""),
    "create": ("write", "EACCES", "open(p('work/new.md'), 'x')"),
    "create without a name": ("write", "EACCES", "os.open(p('work'), os.O_TMPFILE | os.O_RDWR)"),
    "make a folder": ("write", "EACCES", "os.mkdir(p('work/new'))"),
    "remove": ("write", "EACCES", "os.unlink(p('work/note.md'))"),
    "remove a folder": ("write", "EACCES", "os.rmdir(p('work/empty'))"),
    "rename within": ("write", "EACCES", "os.rename(p('work/note.md'), p('work/other.md'))"),
    "rename out": ("write", "EACCES", "os.rename(p('work/note.md'), p('turn/home/note.md'))"),
    "rename over": ("write", "EACCES", """open(p('turn/home/mine'), 'w').write('x')
os.rename(p('turn/home/mine'), p('work/note.md'))"""),
    "exchange": ("write", "EACCES", """open(p('turn/home/mine'), 'w').write('x')
check(libc.syscall({'x86_64': 316, 'aarch64': 276}[os.uname().machine], -100, p('turn/home/mine').encode(), -100, p('work/note.md').encode(), 2))"""),
    "symlink": ("write", "EACCES", "os.symlink('/etc/passwd', p('work/link'))"),
    "write through a symlink": ("write", "EACCES", """os.symlink(p('work/note.md'), p('turn/home/link'))
open(p('turn/home/link'), 'w')"""),
    "hard link within": ("write", "EACCES", "os.link(p('work/note.md'), p('work/link'))"),
    "hard link out": ("write", "EXDEV", "os.link(p('work/note.md'), p('turn/home/link'))"),
    "truncate by path": ("truncate", "EACCES", "os.truncate(p('work/note.md'), 0)"),
    "open and truncate": ("truncate", "EACCES", "os.open(p('work/note.md'), os.O_RDONLY | os.O_TRUNC)"),
    "truncate a descriptor": ("read", "EINVAL", "os.ftruncate(os.open(p('work/note.md'), os.O_RDONLY), 0)"),
    "write a descriptor for reading": ("read", "EBADF", "os.write(os.open(p('work/note.md'), os.O_RDONLY), b'x')"),
    "mode of a descriptor by path only": ("read", "EBADF", "os.fchmod(os.open(p('work/note.md'), os.O_PATH), 0o777)"),
    "make a pipe": ("write", "EACCES", "os.mkfifo(p('work/pipe'))"),
    "make a device": ("write", ("EACCES", "EPERM"), "os.mknod(p('work/null'), 0o666 | stat.S_IFCHR, os.makedev(1, 3))"),
    "make a device in the home": ("write", ("EACCES", "EPERM"), "os.mknod(p('turn/home/null'), 0o666 | stat.S_IFCHR, os.makedev(1, 3))"),
    "make a socket": ("sockets", "EACCES", "socket.socket(socket.AF_UNIX).bind(p('work/sock'))"),
    "reopen through /proc/self/fd": ("write", "EACCES", """fd = os.open(p('work/note.md'), os.O_RDONLY)
os.open('/proc/self/fd/%d' % fd, os.O_WRONLY)"""),
    "reopen a path-only descriptor": ("write", "EACCES", """fd = os.open(p('work/note.md'), os.O_PATH)
os.open('/proc/self/fd/%d' % fd, os.O_RDWR)"""),
    "through /proc/self/root": ("write", "EACCES", "open('/proc/self/root' + p('work/note.md'), 'w')"),
    "through /proc/self/cwd": ("write", "EACCES", "os.chdir(p('work')); open('/proc/self/cwd/note.md', 'w')"),
    "through an outside process's root": ("process", "EACCES", "open('/proc/%d/root%s' % (PID, p('work/note.md')), 'w')"),
    "through an outside process's folder": ("process", "EACCES", "os.listdir('/proc/%d/cwd/' % PID)"),
    "where an outside process's descriptor leads": ("process", "EACCES", "os.readlink('/proc/%d/fd/0' % PID)"),
    "open an outside process's descriptor": ("process", "EACCES", "open('/proc/%d/fd/0' % PID)"),
    "an outside process's environment": ("process", "EACCES", "open('/proc/%d/environ' % PID).read()"),
    "an outside process's memory": ("process", "EACCES", "open('/proc/%d/mem' % PID, 'rb')"),
    "copy an outside process's memory": ("process", "EPERM", """b = ctypes.create_string_buffer(8)
class iov(ctypes.Structure): _fields_ = [('p', ctypes.c_void_p), ('n', ctypes.c_size_t)]
v = iov(ctypes.addressof(b), 8)
check(libc.process_vm_readv(PID, ctypes.byref(v), 1, ctypes.byref(v), 1, 0))"""),
    "trace an outside process": ("process", "EPERM", "check(libc.ptrace(0x4206, PID, None, None))"),
    "take an outside process's descriptor": ("process", "EPERM", """fd = os.pidfd_open(PID)
check(libc.syscall(438, fd, 1, 0))"""),
    "signal an outside process": ("signal", "EPERM", "os.kill(PID, signal.SIGCONT)"),
    "end an outside process": ("signal", "EPERM", "os.kill(PID, signal.SIGKILL)"),
    "end an outside process by descriptor": ("signal", "EPERM", "signal.pidfd_send_signal(os.pidfd_open(PID), signal.SIGKILL)"),
    "end an outside process by its limit": ("rlimits", "EPERM", """import resource
resource.prlimit(PID, resource.RLIMIT_CPU, (1, 1))"""),
    "an abstract socket": ("abstract", ("EACCES", "EPERM"), "socket.socket(socket.AF_UNIX).connect('\\0vexa-test-%d' % PID)"),
    "a socket with a path": ("sockets", "EACCES", "socket.socket(socket.AF_UNIX).connect(p('run/vexa.sock'))"),
    "a datagram to a path": ("sockets", "EACCES", "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', p('run/vexa.sock'))"),
    "a TCP connection": ("connect", "EACCES", "socket.create_connection(('127.0.0.1', PORT))"),
    "a UDP packet": ("udp", "EACCES", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))"),
    "a raw packet": ("udp", ("EACCES", "EPERM"), "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"),
    "an io_uring": ("sockets", "ENOSYS", "check(libc.syscall(425, 4, ctypes.create_string_buffer(120)))"),
    "mount": ("write", "EPERM", "check(libc.mount(b'none', p('work').encode(), b'tmpfs', 0, None))"),
    "mount in a user namespace": ("write", ("EPERM", "EINVAL", "ENOSPC"), """check(libc.unshare(0x10000000 | 0x20000))
check(libc.mount(b'none', p('work').encode(), b'tmpfs', 0, None))"""),
    "a file handle": ("write", ("EPERM", "EOPNOTSUPP"), """h = ctypes.create_string_buffer(136)
ctypes.cast(h, ctypes.POINTER(ctypes.c_uint))[0] = 128
m = ctypes.c_int()
check(libc.name_to_handle_at(-100, p('work/note.md').encode(), h, ctypes.byref(m), 0))
check(libc.open_by_handle_at(os.open(p('work'), os.O_RDONLY), h, os.O_WRONLY))"""),
    "become somebody else": ("read", "EPERM", "os.setuid(12345)" if os.geteuid() == 0 else "os.setuid(0)"),
}

# Here work/ is granted for writing: it can be written, nothing else can be touched.
ELSEWHERE = {"the database": "vexa.db", "the configuration": "vexa.conf", "another user's workspace": "workspaces/2/note.md",
             "the git folder": "git/1.git/config", "a log": "log/runner.log", "the socket": "run/vexa.sock",
             "a system file": "/etc/passwd", "a program": "/usr/bin/env"}
VERBS = {
    "write": ("write", ("EACCES", "ENXIO"), "os.open(p(%r), os.O_WRONLY)"),
    "truncate": ("truncate", ("EACCES", "EINVAL"), "os.truncate(p(%r), 0)"),
    "remove": ("write", "EACCES", "os.unlink(p(%r))"),
    "rename into the workspace": ("write", ("EACCES", "EXDEV"), "os.rename(p(%r), p('work/stolen'))"),
    "rename over": ("write", "EACCES", "os.rename(p('work/note.md'), p(%r))"),
    "link into the workspace": ("write", ("EXDEV", "EPERM"), "os.link(p(%r), p('work/stolen'))"),
    "write through a symlink": ("write", ("EACCES", "ENXIO"), "os.symlink(p(%r), p('work/link')); os.open(p('work/link'), os.O_WRONLY)"),
    "create beside": ("write", "EACCES", "open(p(%r) + '.new', 'x')"),
}
READABLE = ("a system file", "a program")
WRITABLE = {
    "write": "open(p('work/note.md'), 'w').write('mine')",
    "create, rename between folders, link, remove": """os.mkdir(p('work/a')); open(p('work/a/x'), 'w').close()
os.rename(p('work/a/x'), p('work/empty/x')); os.link(p('work/empty/x'), p('work/y')); os.symlink('y', p('work/z'))
os.truncate(p('work/y'), 5); os.chmod(p('work/y'), 0o755); os.mkfifo(p('work/f')); os.unlink(p('work/y')); os.rmdir(p('work/a'))""",
    "move from its temporary folder": "open(os.environ['TMPDIR'] + '/t', 'w').close(); os.rename(os.environ['TMPDIR'] + '/t', p('work/t'))",
    "write its home": "open(os.environ['HOME'] + '/.cache', 'w').write('x')",
    "run what it wrote": """open(p('work/run'), 'w').write('#!/bin/sh\\nexit 7\\n'); os.chmod(p('work/run'), 0o700)
if os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, p('work/run'), ['run']) << 8) != 7: raise OSError(errno.ENOEXEC, '')""",
}


def facts():
    out = subprocess.run([VEXA, "exec-in", "--report"], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return int(out[0].split()[1]), {l.split()[1]: (l.split()[0] == "yes", l.split(None, 2)[2]) for l in out[2:]}


class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.abi, cls.facts = facts()

    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="vexa-sandbox-"))
        for name in ("work/empty", "turn/home", "turn/tmp", "run", "log", "git/1.git/hooks", "workspaces/2"):
            os.makedirs(os.path.join(self.dir, name))
        for name in ("work/note.md", "vexa.db", "vexa.conf", "log/runner.log", "git/1.git/config", "workspaces/2/note.md"):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write("the text of %s\n" % name)
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(os.path.join(self.dir, "run/vexa.sock"))
        self.unix.listen(4)
        self.victim = subprocess.Popen(["sleep", "600"], env={"SECRET": "s3cret"})
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0vexa-test-%d" % self.victim.pid)
        self.abstract.listen(4)
        self.tcp = socket.create_server(("127.0.0.1", 0))

    def tearDown(self):
        for s in (self.unix, self.abstract, self.tcp):
            s.close()
        self.victim.kill()
        self.victim.wait()
        shutil.rmtree(self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def scene(self, leave=("turn",)):
        """Every name outside `leave`, with mode, inode, size of a file and its bytes."""
        seen = {}
        for folder, dirs, files in os.walk(self.dir):
            if folder == self.dir:
                dirs[:] = [d for d in dirs if d not in leave]
            for name in dirs + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                data = open(path, "rb").read() if os.path.isfile(path) and not os.path.islink(path) else b""
                seen[os.path.relpath(path, self.dir)] = (oct(st.st_mode), st.st_ino, st.st_nlink if data else 0, data)
        return seen

    def exec_in(self, *options, program, ro=(), rw=(), **kw):
        args = [VEXA, "exec-in", "--home", self.path("turn/home"), "--tmp", self.path("turn/tmp")]
        if not PYTHON.startswith("/usr/"):
            args += ["--ro", sys.base_prefix]
        for name in ro:
            args += ["--ro", self.path(name)]
        for name in rw:
            args += ["--rw", self.path(name)]
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(args + list(options) + ["--"] + list(program), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60 * SLOW, **kw)

    def try_it(self, code, *options, generations=0, **kw):
        """The errno's name the attempt ended in, or THROUGH."""
        body = "\n".join("    " + l for l in code.split("\n"))
        text = HEAD % (self.dir, self.victim.pid, self.tcp.getsockname()[1], body, generations)
        out = self.exec_in(*options, program=[PYTHON, "-I", "-c", text], **kw)
        self.assertEqual((out.returncode, out.stderr), (0, ""), text)
        return out.stdout.strip()

    def need(self, guard):
        held, sentence = self.facts[guard]
        if not held:
            self.skipTest(sentence)

    def refused(self, guard, want, code, leave=("turn",), **kw):
        self.need(guard)
        before = self.scene(leave)
        got = self.try_it(code, **kw)
        want = (want,) if isinstance(want, str) else want
        self.assertIn(got, want + (("EXDEV",) if self.abi < 2 else ()))
        self.assertEqual(self.scene(leave), before)
        self.assertIsNone(self.victim.poll())

    def allowed(self, code):
        if self.abi == 1 and "os.rename" in code:
            self.skipTest("Landlock ABI 1 refuses every rename from folder to folder")
        self.assertEqual(self.try_it(code, rw=["work"]), "THROUGH")

    # --- what the two tables do not say

    def test_inherited_descriptors_are_closed(self):
        with open(self.path("vexa.db"), "r+") as f:
            code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)))\n" \
                   "try: os.write(%d, b'x'); print('THROUGH')\nexcept OSError as e: print(e.errno)" % f.fileno()
            out = self.exec_in(program=[PYTHON, "-I", "-c", code], pass_fds=[f.fileno()])
        lines = out.stdout.splitlines()
        self.assertEqual(lines[0], "[0, 1, 2]", out)
        self.assertEqual(lines[1], str(errno.EBADF))

    def test_a_link_out_of_the_workspace_is_no_way_to_a_grant(self):
        os.rename(self.path("work"), self.path("real"))
        os.symlink(self.path("workspaces"), self.path("work"))
        out = self.exec_in(program=["true"], rw=["work"])
        self.assertEqual((out.returncode, out.stderr),
                         (125, "vexa exec-in: grant: %s: Too many levels of symbolic links\n" % self.path("work")))

    def test_reading_outside_the_grants(self):
        for name in ("vexa.db", "vexa.conf", "log/runner.log", "git/1.git/config", "workspaces/2/note.md", "work/note.md"):
            with self.subTest(name):
                self.refused("read", "EACCES", "open(p(%r)).read()" % name)
        for code in ("os.listdir(p('workspaces'))", "os.listdir('/')", "open('/etc/shadow')", "os.listdir('/root')",
                     "os.listdir('/tmp')", "os.listdir('/dev/shm')", "open('/dev/mem', 'rb')"):
            with self.subTest(code):
                self.refused("read", ("EACCES", "ENOENT", "EPERM"), code)

    def test_modes_are_the_known_gap(self):
        """Landlock does not cover chmod: security.md says so, the turn's end restores modes."""
        self.assertFalse(self.facts["metadata"][0])
        self.assertEqual(self.try_it("os.chmod(p('work/note.md'), 0o600)", ro=["work"]), "THROUGH")

    def test_listening_is_refused_with_the_network_too(self):
        self.need("bind")
        for option in ((), ("--allow-net",)):
            code = "s = socket.socket(socket.AF_INET)\ns.bind(('127.0.0.1', 0))\ns.listen(1)"
            self.assertEqual(self.try_it(code, *option), "EACCES", option)
            code = "s = socket.socket(socket.AF_INET)\ns.listen(1)"
            self.assertEqual(self.try_it(code, *option), "EACCES", option)

    def test_the_network_where_it_is_allowed(self):
        def answer():
            conn, _ = self.tcp.accept()
            conn.sendall(b"hello")
            conn.close()
        threading.Thread(target=answer, daemon=True).start()
        code = "if socket.create_connection(('127.0.0.1', PORT)).recv(5) != b'hello': raise OSError(errno.EIO, '')"
        self.assertEqual(self.try_it(code, "--allow-net"), "THROUGH")
        code = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))"
        self.assertEqual(self.try_it(code, "--allow-net"), "THROUGH")
        self.refused("sockets", "EACCES", "socket.socket(socket.AF_UNIX)")

    def test_environment_is_made_from_nothing(self):
        out = self.exec_in("--env", "A=1", "--env", "B", "--env", "UNSET", "--env", "LANG=x", "--env", "A=2=3", program=["env"],
                           env={"B": "two words", "SECRET": "s", "PATH": "/nowhere", "LD_PRELOAD": "", "HOME": "/root"})
        self.assertEqual(sorted(out.stdout.splitlines()), sorted([
            "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + self.path("turn/home"), "TMPDIR=" + self.path("turn/tmp"),
            "LANG=x", "A=2=3", "B=two words"]))

    def test_the_process(self):
        def ignoring():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            os.umask(0)
        out = self.exec_in("--open-files", "99", "--cpu-seconds", "7", "--file-mb", "3", "--processes", "5000",
                           program=["sh", "-c", "cat /proc/self/status; pwd; umask; ps -o pid=,pgid=,sid= -p $$ 2>/dev/null ||"
                                    " cut -d' ' -f1,5,6 /proc/$$/stat; cat /proc/self/limits"], preexec_fn=ignoring)
        self.assertEqual(out.returncode, 0, out.stderr)
        status = dict(l.split(":\t", 1) for l in out.stdout.splitlines() if ":\t" in l)
        self.assertEqual(status["NoNewPrivs"], "1")
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") + (("CapBnd",) if os.geteuid() == 0 else ()):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(int(status["SigBlk"], 16), 0)
        self.assertEqual(int(status["SigIgn"], 16) & (1 << (signal.SIGTERM - 1)), 0)
        rest = [l for l in out.stdout.splitlines() if ":\t" not in l]
        self.assertEqual(rest[0], self.path("turn/home"))
        self.assertIn(rest[1], ("0077", "077"))
        self.assertEqual(len(set(rest[2].split())), 1, "own session and group: " + rest[2])
        limits = {l[:26].strip(): l[26:].split()[:2] for l in rest[3:]}
        self.assertEqual(limits["Max core file size"], ["0", "0"])
        self.assertEqual(limits["Max open files"], ["99", "99"])
        self.assertEqual(limits["Max cpu time"], ["7", "7"])
        self.assertEqual(limits["Max file size"], [str(3 << 20)] * 2)
        self.assertEqual(limits["Max processes"], ["5000", "5000"])

    def test_the_file_size_limit_holds(self):
        out = self.exec_in("--file-mb", "1", program=["sh", "-c", "head -c 3000000 /dev/zero >big; exit 3"])
        self.assertEqual(os.path.getsize(self.path("turn/home/big")), 1 << 20, out)

    def test_exit_status_and_arguments_are_the_programs(self):
        out = self.exec_in(program=["sh", "-c", 'echo "$0|$1|$#"; echo err >&2; exit 42', "a b", "--rw"])
        self.assertEqual((out.returncode, out.stdout, out.stderr), (42, "a b|--rw|1\n", "err\n"))
        self.assertEqual(self.exec_in(program=["sh", "-c", "kill -TERM $$"]).returncode, -signal.SIGTERM)

    def test_what_ordinary_programs_need_works(self):
        text = "echo x >/dev/null; : >/dev/null; head -c 4 /dev/urandom | wc -c; f=$(mktemp) && rm $f; date >/dev/null;" \
               " ls /usr/bin >/dev/null; echo out >/dev/stdout; cat </dev/stdin; grep -q MemTotal /proc/meminfo && id -u"
        out = self.exec_in(program=["sh", "-euc", text])
        self.assertEqual((out.returncode, out.stdout, out.stderr), (0, "4\nout\n%d\n" % os.getuid(), ""))

    def test_git_and_node(self):
        if shutil.which("git", path="/usr/bin"):
            text = "git init -q . && git config user.email a@example.com && git config user.name A && echo x >f && git add f" \
                   " && git commit -qm x && git log --format=%s"
            out = self.exec_in("--cwd", self.path("work"), program=["sh", "-c", text], rw=["work"])
            self.assertEqual((out.returncode, out.stdout), (0, "x\n"), out.stderr)
        if not shutil.which("node", path="/usr/bin"):
            self.skipTest("no /usr/bin/node")
        code = "const c = require('child_process').execFileSync('sh', ['-c', 'echo deep']); " \
               "require('fs').writeFileSync(process.env.HOME + '/x', c); console.log(String(c).trim())"
        out = self.exec_in(program=["node", "-e", code])
        self.assertEqual((out.returncode, out.stdout, out.stderr), (0, "deep\n", ""))

    def test_errors_name_their_step(self):
        def told(*args):
            out = subprocess.run([VEXA, "exec-in", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertEqual((out.returncode, out.stdout), (125, ""))
            return out.stderr
        home = ["--home", self.path("turn/home"), "--tmp", self.path("turn/tmp")]
        self.assertEqual(told("true"), "vexa exec-in: arguments: --home and --tmp are needed\n")
        self.assertEqual(told(*home), "vexa exec-in: arguments: no program\n")
        self.assertIn("vexa exec-in: arguments: see", told("--bogus"))
        self.assertIn("is not an absolute path", told("--home", "x", "--tmp", "y", "true"))
        self.assertIn("--cpu-seconds", told(*home, "--cpu-seconds", "0", "true"))
        self.assertEqual(told(*home, "--ro", "/nonexistent", "true"), "vexa exec-in: grant: /nonexistent: No such file or directory\n")
        self.assertEqual(told("--home", self.path("vexa.db"), *home[2:], "true"),
                         "vexa exec-in: grant: %s: Not a directory\n" % self.path("vexa.db"))
        self.assertIn("vexa exec-in: grant: /dev/null: Invalid argument", told(*home, "--rw", "/dev/null", "true"))
        self.assertIn("vexa exec-in: environment: ", told(*home, "--env", "1=2", "true"))
        self.assertEqual(told(*home, "--cwd", "/nonexistent", "true"), "vexa exec-in: cwd: /nonexistent: No such file or directory\n")
        self.assertEqual(told(*home, "no-such-program"), "vexa exec-in: exec: no-such-program: No such file or directory\n")
        self.assertIn("vexa exec-in: landlock: ", told(*home, "--need-abi", "999", "true"))
        if self.facts["read"][0]:
            os.chmod(self.path("vexa.db"), 0o700)
            self.assertIn("inside a granted path?", told(*home, self.path("vexa.db")))

    def test_dies_with_its_parent(self):
        code = "import subprocess, sys, time\np = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n" \
               "p.stdout.readline()\nprint(p.pid, flush=True)\ntime.sleep(600)"
        parent = subprocess.Popen([PYTHON, "-c", code, VEXA, "exec-in", "--home", self.path("turn/home"), "--tmp", self.path("turn/tmp"),
                                   "--die-with-parent", "--", "sh", "-c", "echo up; exec sleep 600"], stdout=subprocess.PIPE, text=True)
        try:
            pid = int(parent.stdout.readline())
        finally:
            parent.kill()
            parent.wait()
            parent.stdout.close()
        end = time.monotonic() + 10 * SLOW
        while time.monotonic() < end:
            try:
                with open("/proc/%d/stat" % pid) as f:
                    if f.read().rsplit(")", 1)[1].split()[0] in "ZX":
                        return
            except OSError:
                return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
        self.fail("it lives on")

    def test_the_security_page_says_what_the_report_says(self):
        with open(os.path.join(TOP, "lib", "sandbox_report.c"), encoding="utf-8") as f:
            groups = re.findall(r'(?:"[^"]*"\s*)+', f.read().split("rows[", 1)[1])
        sentences = [s for s in ("".join(re.findall(r'"([^"]*)"', g)) for g in groups) if s.endswith(".")]
        self.assertEqual(len(sentences), 27)
        with open(os.path.join(TOP, "docs", "security.md"), encoding="utf-8") as f:
            page = f.read()
        self.assertEqual([s for s in sentences if s not in page], [])
        self.assertEqual([s for _, s in self.facts.values() if s not in sentences], [])

    def test_self_test(self):
        out = subprocess.run([VEXA, "exec-in", "--self-test", self.dir], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertEqual((out.returncode, out.stderr), (0, ""), out.stdout)
        self.assertTrue(out.stdout.endswith("23 tried, 0 got through that must not\n"), out.stdout)
        self.assertEqual([n for n in os.listdir(self.dir) if n.startswith("sandbox-")], [])


def add(name, function):
    setattr(Sandbox, "test_" + "".join(c if c.isalnum() else "_" for c in name), function)


def fill():
    for name, (guard, want, code) in READ_ONLY.items():
        add("ro " + name, lambda self, g=guard, w=want, c=code: self.refused(g, w, c, ro=["work"]))
    for name in ("write by path", "rename out", "hard link out", "truncate by path", "open and truncate", "symlink",
                 "reopen through /proc/self/fd", "trace an outside process", "end an outside process", "an abstract socket"):
        guard, want, code = READ_ONLY[name]
        for n, who in ((1, "child"), (2, "grandchild")):
            add("ro %s from a %s" % (name, who),
                lambda self, g=guard, w=want, c=code, n=n: self.refused(g, w, c, ro=["work"], generations=n))
    for what, path in ELSEWHERE.items():
        for verb, (guard, want, code) in VERBS.items():
            add("rw %s %s" % (verb, what), lambda self, g=guard, w=want, c=code % path:
                self.refused(g, w, c, leave=("turn", "work"), rw=["work"]))
    for name, code in WRITABLE.items():
        add("rw may " + name, lambda self, c=code: self.allowed(c))


fill()
