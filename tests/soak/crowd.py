"""The clients of the soak test: many event-stream readers of different manners in one thread.

Each is written as a browser would behave: frames count when their blank line came, the last id is
what a resume sends. What a client was told goes to its Judge in order.
"""

import collections
import json
import os
import random
import selectors
import socket
import time
import urllib.parse
import zlib

from record import Judge

RETRY_STATUS = (429, 500, 502, 503, 504)
HISTORY = 60


class Client:
    """One reader. kind: normal, dropper, forgetful, slow, never, merged, poll, auditor."""

    def __init__(self, crowd, name, kind, rng):
        self.crowd, self.name, self.kind, self.rng = crowd, name, kind, rng
        self.history = collections.deque(maxlen=HISTORY)
        self.sock = None
        self.connected = False
        self.meeting = None
        self.over = self.counted = False
        self.done = False     # has nothing more to follow
        self.wake_at = 0.0    # when idle or pausing
        self.last_bytes = 0.0
        self.judge = None
        self.waiting = collections.deque()  # items not judged yet: (time, item)

    def note(self, text, *args):
        self.history.append("%.3f %s" % (time.monotonic() - self.crowd.began, text % args))

    def tell(self, item):
        self.waiting.append((time.monotonic(), item))

    # --- what to follow

    def follow(self, meetings):
        self.meeting = meetings[0]
        self.topics = ["meeting/%d" % m.id for m in meetings]
        if self.kind == "merged":
            self.topics.append("user/%d" % self.crowd.user)
        self.judge = Judge(self.crowd.archive, self.topics)
        self.over = self.counted = False
        self.forget()
        self.wake_at = time.monotonic() + self.rng.random()
        self.note("follows %s", " ".join(self.topics))

    def forget(self):
        """Starts anew, without a cursor."""
        self.last_id = None
        self.last_number = None
        self.fresh = True

    # --- connection

    def path(self):
        if self.kind == "merged":
            names = [t if t.startswith("meeting/") else "user" for t in self.topics]
            return "/meetings/stream?topics=" + ",".join(names)
        return "/agent/meeting/stream?meeting_id=%d&session_uid=%d" % (self.meeting.id, self.meeting.id)

    def open(self):
        path, head = self.path(), ""
        self.asked = self.last_id
        if self.kind == "poll":
            path += "&wait=5&since=" + urllib.parse.quote(self.last_id or "")
            if not self.last_id:
                path = path.rsplit("&since=", 1)[0]
        elif self.last_id:
            if self.rng.random() < 0.3:
                path += "&lastEventId=" + self.last_id
            else:
                head = "Last-Event-ID: %s\r\n" % self.last_id
        elif self.kind != "auditor" and self.rng.random() < 0.6:
            path += "&replay=%d" % self.rng.choice((0, 1, 10, 200))
        self.request = ("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: %s\r\nAccept: text/event-stream\r\n"
                        "Connection: close\r\n%s\r\n" % (path, self.crowd.key, head)).encode()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        if self.kind in ("slow", "never"):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.raw, self.text, self.status, self.chunk = b"", b"", None, None
        self.frames = 0
        self.connected = False
        self.opened = time.monotonic()
        self.before = self.last_bytes
        # when this client will hang up by itself
        self.leave_at = None
        if self.kind in ("dropper", "forgetful", "merged"):
            self.leave_at = self.opened + self.rng.expovariate(0.4)
        self.leave_after = 1 if self.kind == "dropper" and self.rng.random() < 0.15 else None
        self.pause_until = 0.0
        if self.kind == "never" and not self.crowd.ending:
            self.pause_until = self.opened + self.rng.uniform(*self.crowd.never_seconds)
        self.sock.connect_ex(("127.0.0.1", self.crowd.port))
        self.crowd.watch(self, selectors.EVENT_WRITE)

    def close(self, why, wait):
        if self.sock is None:
            return
        self.note("closed: %s (last id %s, frames %d)", why, self.last_id, self.frames)
        self.crowd.forget(self)
        self.sock.close()
        self.sock = None
        self.wake_at = time.monotonic() + wait

    def lost(self, why):
        wait = self.rng.random() * (0.3 if self.kind != "dropper" else 1.0)
        self.close(why, wait)
        if self.kind == "forgetful" and self.rng.random() < 0.3 and not self.crowd.ending:
            self.note("forgets its place")
            self.forget()

    def ready(self, events):
        try:
            if not self.connected:
                err = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if err:
                    self.lost(os.strerror(err))
                    return
                self.connected = True
                self.sock.send(self.request)
                self.crowd.watch(self, selectors.EVENT_READ)
                return
            now = time.monotonic()
            if now < self.pause_until and not self.crowd.ending:
                self.crowd.pause(self)
                return
            size = self.rng.choice((1, 64, 512, 4096)) if self.kind == "slow" and not self.crowd.ending else 65536
            got = self.sock.recv(size)
            if not got:
                self.ended()
                return
            self.last_bytes = now
            self.feed(got)
            if self.sock is None:
                return
            if self.kind == "slow":
                self.pause_until = now + self.rng.uniform(0.02, 0.4)
            elif self.kind == "never" and self.rng.random() < 0.02:
                self.pause_until = now + self.rng.uniform(*self.crowd.never_seconds)
            if self.leave_after is not None and self.frames >= self.leave_after:
                self.lost("hangs up after the first frame")
        except BlockingIOError:
            return
        except OSError as e:
            self.lost(str(e))

    def ended(self):
        if self.kind == "poll" and self.status == 200:
            self.polled()
        else:
            self.lost("end of stream")

    # --- HTTP and frames

    def feed(self, data):
        self.raw += data
        if self.status is None:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.raw[:end].decode("latin-1").lower()
            self.raw = self.raw[end + 4:]
            self.status = int(head.split(" ", 2)[1])
            self.chunked = "transfer-encoding: chunked" in head
            self.answered()
            if self.sock is None:
                return
        if not self.chunked:
            self.text += self.raw
            self.raw = b""
        while self.chunked and self.raw:
            if self.chunk is None:
                at = self.raw.find(b"\r\n")
                if at < 0:
                    break
                self.chunk = int(self.raw[:at], 16) + 2
                self.raw = self.raw[at + 2:]
            part = self.raw[:self.chunk]
            self.raw = self.raw[len(part):]
            self.chunk -= len(part)
            # the last two bytes of a chunk are its line end
            cut = max(0, len(part) - max(0, 2 - self.chunk))
            self.text += part[:cut]
            if self.chunk == 0:
                self.chunk = None
        if self.status != 200 or self.kind == "poll":
            return
        while self.sock is not None:
            at = self.text.find(b"\n\n")
            if at < 0:
                return
            frame, self.text = self.text[:at], self.text[at + 2:]
            self.frame(frame)
            self.frames += 1
            if self.leave_after is not None and self.frames >= self.leave_after:
                return

    def answered(self):
        if self.status in (200, 204):
            if self.asked is not None:
                self.crowd.resumed(self)
            self.note("%d, asked %s", self.status, self.asked)
        if self.status == 204:
            if self.fresh:
                self.start_at(None)
            self.finish("204")
        elif self.status in RETRY_STATUS:
            if self.status == 500:
                self.crowd.fault(self, "answer 500")
            self.lost("status %d" % self.status)
        elif self.status != 200:
            self.crowd.fault(self, "answer %d to %s" % (self.status, self.request.split(b" ", 2)[1].decode()))
            self.finish("refused")

    def frame(self, frame):
        ident, data = None, []
        for line in frame.split(b"\n"):
            if line.startswith(b"id:"):
                ident = line[3:].strip().decode()
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line.startswith((b":", b"retry: ", b"event:")):
                self.crowd.fault(self, "a line that is no field: %r" % line[:100])
        text = b"\n".join(data)
        if ident is None:
            if text:
                self.unnumbered(text)
            return
        number = int(ident.rsplit("-", 1)[1])
        if not data:
            self.armed(ident, number)
            return
        self.event(ident, number, text)

    def armed(self, ident, number):
        self.note("armed at %s", ident)
        if self.frames:
            self.crowd.fault(self, "an id without data in the middle of a stream: %s" % ident)
        if self.fresh:
            self.start_at(number)
        elif number < self.last_number:
            self.crowd.fault(self, "armed at %d, behind %d" % (number, self.last_number))
        self.last_id, self.last_number = ident, number

    def start_at(self, number):
        """A stream without a cursor began: at number, or at its end already."""
        self.fresh = False
        self.tell(("start", number))

    def event(self, ident, number, text):
        if self.last_number is not None and number <= self.last_number:
            self.crowd.fault(self, "id %s came after %s" % (ident, self.last_id))
        topic = None
        if self.kind == "merged":
            parsed = json.loads(text)
            topic = parsed.pop("topic", None)
            crc = zlib.crc32(json.dumps(parsed, sort_keys=True).encode())
            if topic == "user":
                topic = "user/%d" % self.crowd.user
        else:
            crc = zlib.crc32(text)
        self.tell(("event", number, crc, topic))
        self.last_id, self.last_number = ident, number
        self.crowd.count_events += 1
        self.note("event %s", ident)
        if self.kind != "merged" and text == b'{"type":"meeting-end"}':
            self.finish("meeting-end")

    def unnumbered(self, text):
        parsed = json.loads(text)
        kind = parsed.get("type")
        if kind == "gap":
            self.note("gap %s", text.decode())
            self.crowd.count_gaps += 1
            topic = parsed.get("topic")
            if topic == "user":
                topic = "user/%d" % self.crowd.user
            self.tell(("gap", int(parsed["after"].rsplit("-", 1)[1]), int(parsed["oldest"].rsplit("-", 1)[1]), topic))
        elif kind != "ping":
            self.crowd.fault(self, "a frame without id: %r" % text[:200])

    def polled(self):
        try:
            answer = json.loads(self.text)
        except ValueError:
            self.lost("half an answer")
            return
        if self.fresh:
            self.fresh = False
            self.tell(("start", 0))
            self.last_number = 0
        for e in answer["events"]:
            data = json.dumps(e["data"], sort_keys=True).encode()
            if e["id"] is None:
                self.unnumbered(data)
                continue
            number = int(e["id"].rsplit("-", 1)[1])
            if number <= self.last_number:
                self.crowd.fault(self, "id %s came after %s" % (e["id"], self.last_id))
            self.tell(("event", number, zlib.crc32(data), self.topics[0]))
            self.last_number = number
            self.crowd.count_events += 1
        self.last_id = answer["next_since"]
        self.last_number = int(self.last_id.rsplit("-", 1)[1])
        if answer["end"]:
            self.finish("end of the poll")
        else:
            self.close("poll answered with %d" % len(answer["events"]), self.rng.random() * 0.2)

    def finish(self, why):
        if why != "refused":
            self.tell(("end",))
        self.close(why, 0)
        self.over = True

    # --- the judge

    def judge_all(self):
        """Judges what is old enough to be in the archive. None, or what is wrong."""
        while self.waiting and self.waiting[0][0] < self.crowd.archive.read_at:
            wrong = self.judge.take(self.waiting.popleft()[1])
            if wrong:
                self.waiting.clear()
                return wrong
        return None


class Crowd:
    """All clients, in one thread; run() returns after stop()."""

    def __init__(self, world, kinds, seed):
        self.world, self.archive = world, world.archive
        self.port, self.key, self.user = world.port, world.key, world.user
        self.began = world.began
        self.never_seconds = world.never_seconds
        self.selector = selectors.DefaultSelector()
        self.ending = False
        self.stopped = False
        self.seed = seed
        self.clients = [Client(self, "client %d (%s)" % (i, kind), kind, random.Random("%s/client/%d" % (seed, i)))
                        for i, kind in enumerate(kinds)]
        self.audits = collections.deque()
        self.auditors = 0
        self.paused = {}
        self.count_events = self.count_gaps = self.polls = self.resumes = self.resumes_across = self.ends = 0

    # --- for the clients

    def watch(self, client, events):
        try:
            self.selector.modify(client.sock, events, client)
        except KeyError:
            self.selector.register(client.sock, events, client)

    def forget(self, client):
        self.paused.pop(client, None)
        try:
            self.selector.unregister(client.sock)
        except KeyError:
            pass

    def pause(self, client):
        self.selector.unregister(client.sock)
        self.paused[client] = client.pause_until

    def resumed(self, client):
        if client.kind == "poll":
            self.polls += 1
            return
        self.resumes += 1
        if self.world.killed_between(client.before, time.monotonic()):
            self.resumes_across += 1

    def fault(self, client, what):
        self.world.violation("%s of %s: %s" % (client.name, " ".join(client.topics), what), client.history)

    # --- the loop

    def audit(self, meeting):
        """An ended meeting is read once more from its beginning."""
        self.audits.append(meeting)

    def assign(self, client):
        live = self.world.live_meetings()
        if self.ending or not live:
            client.done = self.ending
            return
        if client.kind == "merged":
            client.follow(client.rng.sample(live, min(len(live), 2)))
        else:
            client.follow([client.rng.choice(live)])

    def step(self, client, now):
        if client.done:
            return
        if client.judge is None or client.over:
            if client.judge is None or not client.waiting:
                if client.over and not client.counted:
                    client.counted = True
                    self.ends += 1
                if client.kind == "auditor":
                    client.done = True
                else:
                    self.assign(client)
            return
        # a stream of the user's feed has no end of its own
        if client.kind == "merged" and self.feed_is_over(client):
            client.close("its meetings are over", 0)
            client.over = True
            return
        if client.sock is None:
            if now >= client.wake_at:
                client.open()
        elif client.leave_at is not None and now >= client.leave_at and not self.ending:
            client.lost("hangs up")

    def feed_is_over(self, client):
        meetings = [t for t in client.topics if t.startswith("meeting/")]
        if not all(t in self.archive.ends for t in meetings) or client.waiting:
            return False
        return all(not self.archive.between(t, client.judge.accounted[t], self.archive.last) for t in meetings)

    def run(self):
        while not self.stopped:
            now = time.monotonic()
            while self.audits:
                m = self.audits.popleft()
                c = Client(self, "auditor of meeting %d" % m.id, "auditor",
                           random.Random("%s/audit/%d" % (self.seed, m.id)))
                c.follow([m])
                self.auditors += 1
                self.clients.append(c)
            for c, until in list(self.paused.items()):
                if now >= until or self.ending:
                    del self.paused[c]
                    self.watch(c, selectors.EVENT_READ)
            for c in self.clients:
                self.step(c, now)
            for key, events in self.selector.select(0.02):
                if key.data.sock is key.fileobj:
                    key.data.ready(events)
            self.judge()
        for c in self.clients:
            c.close("the test is over", 0)

    def judge(self):
        for c in self.clients:
            if not c.waiting:
                continue
            wrong = c.judge_all()
            if wrong:
                self.fault(c, wrong)
                c.close("violation", 0)
                c.over = True
        self.clients = [c for c in self.clients if c.kind != "auditor" or not c.done or c.waiting]

    def unfinished(self):
        return [c for c in self.clients if not c.done]
