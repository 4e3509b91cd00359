"""Peers whose every byte a test decides: providers, and proxies on the way to them."""

import asyncio
import base64
import contextlib
import json
import ssl
import subprocess
import threading


def openssl(*arguments, directory):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


class Authority:
    """A private authority in a directory, and the certificates that it signs."""

    def __init__(self, directory, name="ca"):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.name = name
        self.file = directory / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", directory=directory)  # fmt: skip

    def issue(self, name, names="IP:127.0.0.1, DNS:localhost"):
        """A certificate for these alternative names; returns its file and that of its key."""
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", directory=self.directory)  # fmt: skip
        (self.directory / f"{name}.ext").write_text(f"subjectAltName = {names}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem", directory=self.directory)  # fmt: skip
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"


def server_context(certificate, key, client_authority=None):
    """TLS for a server of ours; with an authority, clients must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority)
    return context


class Request:
    def __init__(self, line, headers, body):
        self.method, self.target, self.version = line.split(" ", 2)
        self.header_list = headers
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers} {self.body[:200]!r}>"


async def read_request(reader):
    """One request with its body; `None` at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, OSError):
        return None
    line, *lines = head.split("\r\n")[:-2]
    headers = [(name, value.strip()) for name, _, value in (text.partition(":") for text in lines)]
    length = int(next((value for name, value in headers if name.lower() == "content-length"), "0"))
    return Request(line, headers, await reader.readexactly(length))


class Server:
    """A server on a loop in a thread of its own."""

    def __init__(self, tls=None):
        self.tls = tls
        self.connections = 0
        self.requests = []
        self.failures = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks = set()

    def __enter__(self):
        self._thread.start()
        start = asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, limit=1 << 22)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        async def stop():
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _accept(self, reader, writer):
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        try:
            await self.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(asyncio.current_task())
            with contextlib.suppress(OSError):
                writer.close()

    async def serve(self, reader, writer):
        raise NotImplementedError


def completion(text="Swifts sleep on the wing.", **extra):
    """The body of a plain chat answer."""
    return json.dumps({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}, **extra,
    }).encode()  # fmt: skip


def answer(body=None, status="200 OK", headers="content-type: application/json\r\n"):
    """The bytes of an answer with a length."""
    body = completion() if body is None else body
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


class FakeProvider(Server):
    """Answers every request with what `respond` makes of it: bytes, and then the connection stays open, or (bytes, False)."""

    def __init__(self, respond=lambda request: answer(), tls=None):
        super().__init__(tls)
        self.respond = respond
        self.peer_names = []

    async def serve(self, reader, writer):
        if certificate := writer.get_extra_info("peercert"):
            self.peer_names.append(dict(pair[0] for pair in certificate["subject"])["commonName"])
        while request := await read_request(reader):
            self.requests.append(request)
            said = self.respond(request)
            data, stays = said if isinstance(said, tuple) else (said, True)
            writer.write(data)
            await writer.drain()
            if not stays:
                return


class FakeProxy(Server):
    """A forwarding proxy: CONNECT, and requests in absolute form.

    `credentials` are what it asks for; `fault` takes the first request of a connection and gives the bytes to answer instead, after which the
    connection ends, or `None` to behave.
    """

    def __init__(self, credentials=None, fault=lambda request: None, tls=None):
        super().__init__(tls)
        self.credentials = credentials
        self.fault = fault

    @property
    def tunnels(self):
        return [request.target for request in self.requests if request.method == "CONNECT"]

    def _refusal(self, request):
        if self.credentials is None:
            return None
        wanted = "Basic " + base64.b64encode(self.credentials.encode()).decode()
        if request.headers.get("proxy-authorization") == wanted:
            return None
        return b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=x\r\ncontent-length: 0\r\n\r\n"

    async def serve(self, reader, writer):
        upstream = None
        try:
            while request := await read_request(reader):
                self.requests.append(request)
                if refusal := self.fault(request) or self._refusal(request):
                    writer.write(refusal)
                    return await writer.drain()
                if request.method == "CONNECT":
                    host, port = request.target.rsplit(":", 1)
                    upstream = await asyncio.open_connection(host.strip("[]"), int(port))
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    return await asyncio.gather(self._pump(reader, upstream[1]), self._pump(upstream[0], writer))
                authority, _, path = request.target.removeprefix("http://").partition("/")
                if upstream is None:
                    host, _, port = authority.partition(":")
                    upstream = await asyncio.open_connection(host, int(port or 80))
                kept = [f"{name}: {value}" for name, value in request.header_list if not name.lower().startswith("proxy-")]
                upstream[1].write("\r\n".join([f"{request.method} /{path} HTTP/1.1", *kept, "", ""]).encode("latin-1") + request.body)
                await self._relay(upstream[0], writer)
        finally:
            if upstream:
                upstream[1].close()

    @staticmethod
    async def _pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()

    @staticmethod
    async def _relay(reader, writer):
        """Passes on one answer."""
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        lowered = head.lower()
        if b"transfer-encoding: chunked" in lowered:
            while True:
                line = await reader.readuntil(b"\r\n")
                size = int(line, 16)
                writer.write(line + await reader.readexactly(size + 2))
                await writer.drain()
                if size == 0:
                    break
        else:
            length = int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
            writer.write(await reader.readexactly(length))
        await writer.drain()
