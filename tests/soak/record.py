"""What happened, as the soak test knows it: the ledger of acknowledged publishes, the log of events
as it was committed, and the judge who compares what every client saw with them.

The log is read from the database file (read-only, as SQLite), because streams are what is judged
and because trimmed events must still be known. Event numbers are one sequence over all topics, so a
number that is missing shows at once.
"""

import bisect
import json
import sqlite3
import threading
import time
import zlib


def canonical(data):
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())


class Archive:
    """Every event ever committed: number, topic, checksums."""

    def __init__(self, path):
        self.path = path
        self.db = None
        self.last = 0
        self.read_at = 0.0  # everything committed before this moment is here
        self.ids = {}       # topic -> sorted event numbers
        self.events = {}    # number -> (topic, checksum, canonical checksum)
        self.ends = {}      # topic -> number of its meeting-end
        self.said = {}      # topic -> {segment id: [(text checksum, completed)]}
        self.holes = []
        self.lock = threading.Lock()

    def poll(self):
        began = time.monotonic()
        try:
            if self.db is None:
                self.db = sqlite3.connect("file:%s?mode=ro" % self.path, uri=True, check_same_thread=False)
            while True:
                with self.lock:
                    rows = self.db.execute(
                        "SELECT id, topic, type, data FROM events WHERE id > ? ORDER BY id LIMIT 2000",
                        (self.last,)).fetchall()
                for row in rows:
                    self.take(*row)
                if len(rows) < 2000:
                    break
        except sqlite3.OperationalError:
            return  # the writer was killed in the middle: its successor puts the file in order
        self.read_at = began

    def take(self, number, topic, kind, data):
        if number != self.last + 1:
            self.holes.append((self.last, number))
        self.last = number
        parsed = json.loads(data)
        self.ids.setdefault(topic, []).append(number)
        self.events[number] = (topic, zlib.crc32(data.encode()), canonical(parsed))
        if kind == "meeting-end":
            self.ends[topic] = number
        elif kind == "transcript":
            versions = self.said.setdefault(topic, {}).setdefault(parsed["id"], [])
            versions.append((zlib.crc32(parsed["text"].encode()), parsed["completed"]))

    def between(self, topic, after, upto):
        """Numbers of the topic in (after, upto]."""
        ids = self.ids.get(topic, [])
        return ids[bisect.bisect_right(ids, after):bisect.bisect_right(ids, upto)]

    def still_there(self, topic, after, oldest):
        """Events in (after, oldest) that were not trimmed."""
        try:
            with self.lock:
                return [r[0] for r in self.db.execute(
                    "SELECT id FROM events WHERE topic = ? AND id > ? AND id < ? LIMIT 5",
                    (topic, after, oldest)).fetchall()]
        except sqlite3.OperationalError:
            return []


class Ledger:
    """Publishes of one meeting that were acknowledged, in the order of each segment."""

    def __init__(self):
        self.versions = {}  # segment id -> [(text checksum, completed)]
        self.final = {}     # segment id -> text
        self.batches = 0
        self.lock = threading.Lock()

    def acknowledged(self, batch):
        with self.lock:
            self.batches += 1
            for ident, text, completed in batch:
                self.versions.setdefault(ident, []).append((zlib.crc32(text.encode()), completed))
                self.final[ident] = text

    def differences(self, said):
        """How the log differs from this ledger; said: {segment id: versions in the log}."""
        out = []
        for ident in sorted(set(self.versions) | set(said)):
            want, have = self.versions.get(ident, []), said.get(ident, [])
            if want != have:
                out.append("segment %s: acknowledged %r, in the log %r" % (ident, want, have))
        return out


class Judge:
    """Follows one client's history through the log. Items come in the client's order:
    ("start", n)            a stream without a cursor was armed at n; None: it was over already
    ("event", n, crc, topic) topic only on a merged stream, crc is then the canonical one
    ("gap", after, oldest, topic)
    ("end",)                the client was told that nothing more will come
    """

    def __init__(self, archive, topics):
        self.archive, self.topics = archive, topics
        self.accounted = {t: 0 for t in topics}  # seen, or told to be lost
        self.seen = {t: 0 for t in topics}
        self.last_gap_oldest = {t: 0 for t in topics}
        self.events = self.gaps = 0

    def take(self, item):
        """None, or what is wrong."""
        return getattr(self, item[0])(*item[1:])

    def start(self, n):
        for t in self.topics:
            self.accounted[t] = self.archive.last if n is None else n
            self.seen[t] = 0
            self.last_gap_oldest[t] = 0

    def event(self, n, crc, topic):
        known = self.archive.events.get(n)
        if known is None:
            return "event %d was delivered but is not in the log" % n
        merged = topic is not None
        if not merged:
            topic = self.topics[0]
        if known[0] != topic or topic not in self.accounted:
            return "event %d of topic %s was delivered as %s" % (n, known[0], topic)
        if n <= self.seen[topic]:
            return "event %d came after %d" % (n, self.seen[topic])
        if n <= self.accounted[topic]:
            # the end of a meeting is told even when it was trimmed
            if n != self.archive.ends.get(topic) or n != self.last_gap_oldest[topic] - 1:
                return "event %d came although everything up to %d was seen or told lost" % (
                    n, self.accounted[topic])
        else:
            missing = self.archive.between(topic, self.accounted[topic], n - 1)
            if missing:
                return "lost before event %d without a gap: %r" % (n, missing[:20])
        if crc != known[2 if merged else 1]:
            return "event %d was delivered with other data" % n
        self.seen[topic] = n
        self.accounted[topic] = max(n, self.accounted[topic])
        self.events += 1
        return None

    def gap(self, after, oldest, topic):
        if topic is None:
            topic = self.topics[0]
        if topic not in self.accounted:
            return "gap on a topic that was not asked for: %s" % topic
        if after < self.seen[topic]:
            return "gap after %d, but %d was delivered" % (after, self.seen[topic])
        missing = self.archive.between(topic, self.accounted[topic], after)
        if missing:
            return "lost before the gap after %d and not covered by it: %r" % (after, missing[:20])
        hole = self.archive.between(topic, after, oldest - 1)
        if not hole:
            return "gap (%d, %d) covers no event of %s" % (after, oldest, topic)
        there = self.archive.still_there(topic, after, oldest)
        if there:
            return "gap (%d, %d) covers events that are still in the log: %r" % (after, oldest, there)
        self.accounted[topic] = max(self.accounted[topic], oldest - 1)
        self.last_gap_oldest[topic] = oldest
        self.gaps += 1
        return None

    def end(self):
        for topic in self.topics:
            missing = self.archive.between(topic, self.accounted[topic], self.archive.last)
            if topic not in self.archive.ends:
                return "the stream of %s ended for good before its meeting-end" % topic
            if missing:
                return "lost at the end of %s: %r" % (topic, missing[:20])
        return None

    def caught_up(self):
        return all(not self.archive.between(t, self.accounted[t], self.archive.last) for t in self.topics)
