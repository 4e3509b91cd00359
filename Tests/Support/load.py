"""A bounded load of plain and streamed chat calls over keep-alive connections, on bare sockets.

A call counts as received when its last byte has arrived: for a plain answer the whole content-length, for a stream the `[DONE]` event,
which is where clients stop reading.
"""

import asyncio
import dataclasses
import itertools
import json
import random

CONNECTION_ERRORS = (OSError, EOFError)  # asyncio.IncompleteReadError is an EOFError


@dataclasses.dataclass
class Outcome:
    request_id: str
    streamed: bool
    status: int = 0
    """Whether the last byte arrived."""
    received: bool = False
    """How far it came before the connection broke: sent, head, body; empty when nothing broke."""
    broken: str = ""
    body: bytes = b""

    @property
    def ended_with_error_event(self):
        return b'"error"' in self.body


class Load:
    """`connections` workers that call until they are stopped, or until the gateway is gone and `reconnect` is off."""

    counter = itertools.count()

    def __init__(self, port, key, connections=32, seed=0, reconnect=True, stream_share=0.5, headers=None, keep_bodies=False):
        self.port = port
        self.key = key
        self.connections = connections
        self.random = random.Random(seed)
        self.reconnect = reconnect
        self.stream_share = stream_share
        self.headers = headers or (lambda generator, streamed: {"x-sim-tokens": str(generator.randint(1, 24)), "x-sim-token-ms": "1"})
        self.keep_bodies = keep_bodies
        self.outcomes = []
        self.connect_failures = 0
        self.is_stopping = False
        self.name = f"load-{seed}-{next(Load.counter)}"

    @property
    def received(self):
        return [outcome for outcome in self.outcomes if outcome.received]

    @property
    def broken(self):
        return [outcome for outcome in self.outcomes if outcome.broken]

    @property
    def failed(self):
        """Calls that got another answer than a whole 200."""
        return [outcome for outcome in self.outcomes if not (outcome.received and outcome.status == 200)]

    def stop(self):
        self.is_stopping = True

    async def run(self):
        async with asyncio.TaskGroup() as group:
            for number in range(self.connections):
                group.create_task(self._work(number))

    async def _work(self, number):
        sequence = itertools.count()
        while not self.is_stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.connect_failures += 1
                if not self.reconnect:
                    return
                await asyncio.sleep(0.05)
                continue
            try:
                is_open = True
                while is_open and not self.is_stopping:
                    outcome = Outcome(f"{self.name}-{number}-{next(sequence)}", self.random.random() < self.stream_share)
                    self.outcomes.append(outcome)
                    is_open = await self._call(reader, writer, outcome)
            finally:
                writer.close()

    def _request(self, outcome):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about swifts, briefly."}]}
        if outcome.streamed:
            body["stream"] = True
        data = json.dumps(body).encode()
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: martlet",
            "Content-Type: application/json",
            f"Content-Length: {len(data)}",
            f"Authorization: Bearer {self.key}",
            f"x-request-id: {outcome.request_id}",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers(self.random, outcome.streamed).items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + data

    async def _call(self, reader, writer, outcome):
        """One call; returns whether the connection can take another."""
        stage = "sent"
        try:
            writer.write(self._request(outcome))
            head = await reader.readuntil(b"\r\n\r\n")
            stage = "head"
            lines = head.decode("latin-1").split("\r\n")
            outcome.status = int(lines[0].split(" ", 2)[1])
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
                outcome.received = True
            else:
                body = await self._chunks(reader, outcome)
            stage = "body"
            if self.keep_bodies:
                outcome.body = body
            return headers.get("connection", "").lower() != "close"
        except CONNECTION_ERRORS:
            if not outcome.received:
                outcome.broken = stage
            return False

    async def _chunks(self, reader, outcome):
        body = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            if size == 0:
                await reader.readuntil(b"\r\n")
                return body
            body += (await reader.readexactly(size + 2))[:-2]
            if self.keep_bodies:
                outcome.body = body
            if not outcome.received and b"data: [DONE]" in body[-size - 16 :]:
                outcome.received = True
