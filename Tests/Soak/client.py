"""The clients of a soak: every kind of call that a gateway sees on a bad day, each with what must come of it."""

import asyncio
import collections
import itertools
import json
import os
import random

GONE = (OSError, EOFError)  # asyncio.IncompleteReadError is an EOFError
PATIENCE_SECONDS = 60
LARGE_BYTES = (100_000, 1_000_000)

# What a call is, and how often in a thousand it is that.
MIX = {
    "plain": 350,
    "streamed": 300,
    "embedding": 60,
    "provider-error": 50,
    "rate-limited": 30,
    "cut-plain": 15,
    "cut-stream": 25,
    "cancelled-plain": 15,
    "cancelled-stream": 40,
    "slow-reader": 10,
    "large-prompt": 25,
    "bad-json": 20,
    "unknown-model": 20,
    "refused-key": 20,
    "model-list": 20,
}

# Which usage row a call leaves. A call that its client leaves may have ended before that was noticed.
OUTCOMES = {
    "plain": {"success"},
    "streamed": {"success"},
    "embedding": {"success"},
    "provider-error": {"upstream_error"},
    "rate-limited": {"upstream_error"},
    "cut-plain": {"upstream_error"},
    "cut-stream": {"stream_cut"},
    "cancelled-plain": {"client_gone", "success"},
    "cancelled-stream": {"client_gone", "success"},
    "slow-reader": {"success"},
    "large-prompt": {"success"},
    "bad-json": {"refused"},
    "unknown-model": {"refused"},
    "refused-key": {"refused"},
    "model-list": set(),
}


class Unexpected(Exception):
    """An answer that is not what the call must get."""


class Clients:
    """`rate` calls a second in all, over connections that live for some calls each."""

    def __init__(self, port, key, rate, seed, workers=48):
        self.port = port
        self.key = key
        self.rate = rate
        self.workers = workers
        self.random = random.Random(seed)
        self.numbers = itertools.count()
        self.run_name = f"soak-{os.getpid()}-{seed}"
        self.made = collections.Counter()
        self.unexpected = []
        self.late = 0
        self.queue = asyncio.Queue(maxsize=4 * workers)
        self.large = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * LARGE_BYTES[1]}]}).encode()

    async def run(self, seconds):
        """Makes calls for so long, and returns when the last of them has ended."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())
            await self._pace(seconds)
            for _ in range(self.workers):
                await self.queue.put(None)

    async def _pace(self, seconds):
        loop = asyncio.get_running_loop()
        kinds, weights = list(MIX), list(MIX.values())
        began = loop.time()
        given = 0
        while (elapsed := loop.time() - began) < seconds:
            due = int(elapsed * self.rate)
            while given < due:
                given += 1
                kind = self.random.choices(kinds, weights)[0]
                try:
                    self.queue.put_nowait(kind)
                except asyncio.QueueFull:
                    # The rate is a wish: what the machine cannot do is counted, not piled up.
                    self.late += 1
            await asyncio.sleep(0.02)

    async def _work(self):
        connection = Connection(self.port)
        rest = 0
        while (kind := await self.queue.get()) is not None:
            if rest == 0:
                connection.close()
                rest = self.random.randint(1, 200)
            rest -= 1
            self.made[kind] += 1
            identifier = f"{self.run_name}-{next(self.numbers)}"
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await getattr(self, "_" + kind.replace("-", "_"))(connection, identifier)
            except (Unexpected, TimeoutError, *GONE) as error:
                self.unexpected.append(f"{identifier} {kind}: {type(error).__name__} {error}")
                connection.close()
        connection.close()

    # What the kinds are

    async def _call(self, connection, identifier, body=None, path="/v1/chat/completions", key=None, status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        await connection.send("POST", path, identifier, key or self.key, body, headers)
        found, answer = await connection.head()
        if found != status:
            raise Unexpected(f"status {found} for {status}: {(await connection.rest(answer))[:300]!r}")
        return answer

    def _chat(self, **fields):
        return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about swifts."}], **fields}

    async def _plain(self, connection, identifier):
        answer = await self._call(connection, identifier, self._chat(), x_sim_tokens=str(self.random.randint(1, 60)))
        if "choices" not in json.loads(await connection.rest(answer)):
            raise Unexpected("no choices")

    async def _streamed(self, connection, identifier):
        answer = await self._call(
            connection, identifier, self._chat(stream=True), x_sim_tokens=str(self.random.randint(1, 60)), x_sim_token_ms=str(self.random.choice([0, 0, 2, 20]))
        )
        body = await connection.rest(answer)
        if not body.endswith(b"data: [DONE]\n\n"):
            raise Unexpected(f"a stream without its end: {body[-200:]!r}")

    async def _embedding(self, connection, identifier):
        answer = await self._call(connection, identifier, {"model": "text-embedding-3-small", "input": "swift"}, path="/v1/embeddings")
        if "data" not in json.loads(await connection.rest(answer)):
            raise Unexpected("no data")

    async def _provider_error(self, connection, identifier):
        answer = await self._call(connection, identifier, self._chat(), status=500, x_sim_error="500")
        await connection.rest(answer)

    async def _rate_limited(self, connection, identifier):
        answer = await self._call(connection, identifier, self._chat(), status=429, x_sim_error="429", x_sim_retry_after="1")
        await connection.rest(answer)

    async def _cut_plain(self, connection, identifier):
        answer = await self._call(connection, identifier, self._chat(), status=502, x_sim_tokens="50", x_sim_cut_after="20")
        await connection.rest(answer)

    async def _cut_stream(self, connection, identifier):
        answer = await self._call(connection, identifier, self._chat(stream=True), x_sim_tokens="50", x_sim_cut_after="10")
        if b'"error"' not in await connection.rest(answer):
            raise Unexpected("a cut stream without an error event")

    async def _cancelled_plain(self, connection, identifier):
        await connection.send("POST", "/v1/chat/completions", identifier, self.key, json.dumps(self._chat()).encode(), {"x_sim_ttft_ms": "400"})
        await asyncio.sleep(0.1)
        connection.close()

    async def _cancelled_stream(self, connection, identifier):
        await self._call(connection, identifier, self._chat(stream=True), x_sim_tokens="200", x_sim_token_ms="10")
        await connection.some()
        connection.close()

    async def _slow_reader(self, connection, identifier):
        # The other connection would be idle for so long that the gateway may close it just when it is needed.
        connection.close()
        slow = Connection(self.port, limit=4096)
        try:
            answer = await self._call(slow, identifier, self._chat(stream=True), x_sim_tokens="2000")
            body = await slow.rest(answer, pause=0.01)
            if not body.endswith(b"data: [DONE]\n\n"):
                raise Unexpected("a slow reader did not get its end")
        finally:
            slow.close()

    async def _large_prompt(self, connection, identifier):
        size = self.random.randint(*LARGE_BYTES)
        # The text is cut in its middle, so that the size differs and the JSON stays whole.
        body = self.large[: size // 2] + self.large[-(size - size // 2) :]
        await connection.rest(await self._call(connection, identifier, body, x_sim_tokens="5"))

    async def _bad_json(self, connection, identifier):
        await connection.rest(await self._call(connection, identifier, b'{"model": "gpt-4o-mini", "messages": ', status=400))

    async def _unknown_model(self, connection, identifier):
        await connection.rest(await self._call(connection, identifier, {**self._chat(), "model": "no-such-model"}, status=404))

    async def _refused_key(self, connection, identifier):
        key = f"mk_{self.random.getrandbits(180):038d}"[:41]
        await connection.rest(await self._call(connection, identifier, self._chat(), key=key, status=401))

    async def _model_list(self, connection, identifier):
        await connection.send("GET", "/v1/models", identifier, self.key, None, {})
        status, answer = await connection.head()
        if status != 200 or b"gpt-4o-mini" not in await connection.rest(answer):
            raise Unexpected(f"the list of models: {status}")


class Connection:
    """One connection of a client; it is opened when it is needed, and reads answers strictly."""

    def __init__(self, port, limit=1 << 16):
        self.port = port
        self.limit = limit
        self.reader = None
        self.writer = None

    def close(self):
        if self.writer is not None:
            # What has not been read is not waited for: a client that leaves, leaves.
            self.writer.transport.abort()
        self.reader = self.writer = None

    async def send(self, method, path, identifier, key, body, headers):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=self.limit)
        lines = [f"{method} {path} HTTP/1.1", "host: soak", f"authorization: Bearer {key}", f"x-request-id: {identifier}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        await self.writer.drain()

    async def head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(lines[0].split(" ", 2)[1]), headers

    async def some(self):
        """The first chunk of a stream."""
        await self.reader.readuntil(b"\n\n")

    async def rest(self, headers, pause=0):
        """The body of the answer with that head."""
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        else:
            parts = []
            while (size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)) > 0:
                parts.append((await self.reader.readexactly(size + 2))[:-2])
                if pause:
                    await asyncio.sleep(pause)
            await self.reader.readexactly(2)
            body = b"".join(parts)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return body
