"""Many HTTP clients at once, each on one kept connection, each checking that its answers are its own.

A client sends the next request when the last was answered. Every request carries an id of its own,
which the answer must bring back: an answer that went to the wrong client does not.
"""

import asyncio
import time


class Client:
    """One kept connection and what it got."""

    def __init__(self, number):
        self.number = number
        self.answers = 0
        self.slowest = 0.0
        self.fault = None


class Crowd:
    def __init__(self, port, path, api_key, body, clients, requests):
        self.port, self.path, self.api_key, self.body = port, path, api_key, body
        self.requests = requests
        self.clients = [Client(i) for i in range(clients)]
        self.when_first_done = None  # answers of every client when the first had all of its own
        self.seconds = 0.0
        self.on_half = None          # called once, when half of all answers came

    def run(self, limit_seconds):
        asyncio.run(self._run(limit_seconds))

    async def _run(self, limit_seconds):
        begin = time.monotonic()
        tasks = [asyncio.create_task(self._client(c)) for c in self.clients]
        _, late = await asyncio.wait(tasks, timeout=limit_seconds)
        for t in late:
            t.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.seconds = time.monotonic() - begin
        for c in self.clients:
            if c.answers < self.requests and c.fault is None:
                c.fault = "starved: %d of %d answers in %d s" % (c.answers, self.requests, limit_seconds)

    async def _client(self, c):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError as e:
            c.fault = "cannot connect: %s" % e
            return
        try:
            for n in range(self.requests):
                ident = "client-%d-%d" % (c.number, n)
                sent = time.monotonic()
                writer.write(("GET %s HTTP/1.1\r\nHost: bench\r\nX-API-Key: %s\r\nX-Request-Id: %s\r\n\r\n"
                              % (self.path, self.api_key, ident)).encode())
                c.fault = await self._answer(reader, ident)
                if c.fault:
                    return
                c.slowest = max(c.slowest, time.monotonic() - sent)
                c.answers += 1
                self._count(c)
        except (OSError, EOFError, ValueError) as e:
            c.fault = "after %d answers: %s" % (c.answers, e or type(e).__name__)
        finally:
            writer.close()

    async def _answer(self, reader, ident):
        """Reads one answer; what is wrong with it, or None."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(headers["content-length"]))
        if head[0].split()[1] != "200":
            return "%s %r" % (head[0], body[:200])
        if headers.get("x-request-id") != ident:
            return "the answer to %s carries the id %s" % (ident, headers.get("x-request-id"))
        if body != self.body:
            return "another body than expected: %r" % body[:200]
        if headers.get("connection", "").lower() == "close":
            return "the connection was not kept"
        return None

    @staticmethod
    async def _chunks(reader):
        body = b""
        while True:
            size = int(await reader.readline(), 16)
            body += (await reader.readexactly(size + 2))[:size]
            if size == 0:
                return body

    def _count(self, c):
        if self.when_first_done is None and c.answers == self.requests:
            self.when_first_done = [x.answers for x in self.clients]
        if self.on_half and c.answers == self.requests // 2:
            call, self.on_half = self.on_half, None
            call()
