"""HTTP/1.1 on a bare socket: sends any bytes, reads answers strictly."""

import json
import socket


class Answer:
    def __init__(self, version, status, headers, body):
        self.version = version
        self.status = status
        self.header_list = headers
        self.headers = {}
        for name, value in headers:
            self.headers.setdefault(name.lower(), value)
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class RawConnection:
    def __init__(self, port, timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends what the other side still takes: a server that refuses early may close before the rest."""
        if isinstance(data, str):
            data = data.encode()
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"closed in the middle of an answer; so far: {self.buffer[:300]!r}")
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        version, status, *_ = self._line().split(b" ", 2)
        headers = []
        while line := self._line():
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
        return version.decode(), int(status), headers

    def answer(self, method="POST"):
        """Reads one whole answer; 1xx answers come out on their own."""
        version, status, headers = self.head()
        named = {name.lower(): value for name, value in headers}
        body = b""
        if 100 <= status < 200 or status in (204, 304) or method == "HEAD":
            pass
        elif named.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                body += self._exactly(size)
                assert self._exactly(2) == b"\r\n"
            while self._line():
                pass
        elif "content-length" in named:
            body = self._exactly(int(named["content-length"]))
        else:
            while True:
                try:
                    self._more()
                except EOFError:
                    break
            body, self.buffer = self.buffer, b""
        return Answer(version, status, headers, body)

    def is_closed(self, timeout=5):
        """Whether the other side closes within the time, without another byte."""
        self.socket.settimeout(timeout)
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def post(path, body, key=None, headers=()):
    """The bytes of a POST with a JSON body."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"POST {path} HTTP/1.1", "Host: martlet", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def get(path, key=None, headers=(), method="GET"):
    lines = [f"{method} {path} HTTP/1.1", "Host: martlet"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
