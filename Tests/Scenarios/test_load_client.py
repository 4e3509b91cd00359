"""The benchmarks' own load client and provider: a client that misses a lost frame would make every figure worthless."""

import contextlib
import json
import pathlib
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Benchmarks"))

from rig.figures import Requirement, median_interval  # noqa: E402
from rig.native import Load, Upstream, build  # noqa: E402
from rig.valgrind import Thresholds  # noqa: E402


def frame(stream, number):
    return f'data: {{"choices":[{{"delta":{{"content":"~{stream:012}~{number:06}~{1:018}~"}}}}]}}\n\n'


FOUR = "".join(frame(1, number) for number in range(4))
USAGE = 'data: {"choices":[],"usage":{"completion_tokens":4}}\n\n'
DONE = "data: [DONE]\n\n"

# What a server sends, and the only kind of failure that the client may see in it; `None` is a success.
STREAMS = {
    "whole": (FOUR + USAGE + DONE, None),
    "with carriage returns": ((FOUR + USAGE + DONE).replace("\n", "\r\n"), None),
    "with comments": (": ping\n\n" + FOUR + ": ping\n\n" + USAGE + DONE, None),
    "a frame lost": (frame(1, 0) + frame(1, 2) + frame(1, 3) + USAGE + DONE, "frames"),
    "the last frame lost": (FOUR.replace(frame(1, 3), "") + USAGE + DONE, "frames"),
    "a frame doubled": (FOUR.replace(frame(1, 1), frame(1, 1) * 2) + USAGE + DONE, "frames"),
    "two frames swapped": (frame(1, 0) + frame(1, 2) + frame(1, 1) + frame(1, 3) + USAGE + DONE, "frames"),
    "a frame of another stream": (FOUR.replace(frame(1, 2), frame(2, 2)) + USAGE + DONE, "frames"),
    "without an end mark": (FOUR + USAGE, "no_done"),
    "something behind the end mark": (FOUR + USAGE + DONE + frame(1, 4), "no_done"),
    "without usage": (FOUR + DONE, "no_usage"),
    "an error event": (frame(1, 0) + 'data: {"error":{"message":"gone"}}\n\n', "error_event"),
}


@contextlib.contextmanager
def server(answer):
    """Answers each request on a connection with what `answer(write)` writes; it returns whether the connection goes on."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            while self.request.recv(65536):
                if not answer(self.request.sendall):
                    return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as opened:
        threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{opened.server_address[1]}/v1/chat/completions"
        finally:
            opened.shutdown()


def stream_in_pieces(body, size=7):
    def answer(write):
        write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        data = body.encode()
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            write(b"%x\r\n%s\r\n" % (len(piece), piece))
        write(b"0\r\n\r\n")
        return True

    return answer


def run(url, **flags):
    return Load(url, "key", **{"connections": 2, "calls": 4, "timeout": 5, **flags}).result()


@pytest.mark.parametrize("name", STREAMS)
def test_the_client_sees_what_is_wrong_with_a_stream(name):
    body, kind = STREAMS[name]
    with server(stream_in_pieces(body)) as url:
        result = run(url, stream=True, frames=4)
    assert result["failures"] == ({} if kind is None else {kind: 4}), result["first_failure"]
    assert result["succeeded"] == (4 if kind is None else 0)


def test_the_client_counts_how_frames_went_wrong():
    body = frame(1, 0) + frame(1, 0) + frame(1, 3) + frame(1, 1) + frame(2, 4) + USAGE + DONE
    with server(stream_in_pieces(body)) as url:
        result = run(url, stream=True, frames=5, connections=1, calls=1)
    assert (result["duplicated"], result["lost"], result["disordered"], result["foreign"]) == (1, 3, 1, 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 500 Broken\r\nContent-Length: 3\r\n\r\nbad", "status"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", "wrong_body"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 900\r\n\r\n" + frame(1, 0).encode(), "cut"),
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "malformed"),
    ],
)
def test_the_client_tells_failures_apart(answer, kind):
    with server(lambda write: write(answer)) as url:
        result = run(url, connections=1, calls=2)
    assert result["failures"] == {kind: 2}


def test_the_client_gives_up_on_silence():
    with server(lambda write: True) as url:
        assert run(url, connections=2, calls=2, timeout=0.3)["failures"] == {"timeout": 2}


@pytest.fixture
def upstream(tmp_path):
    opened = Upstream(tmp_path)
    yield opened
    opened.stop()


def url_of(upstream):
    return f"http://127.0.0.1:{upstream.port}/v1/chat/completions"


def wait_for_running(upstream, count):
    """The counts as soon as that many streams run."""
    deadline = time.monotonic() + 30
    while (counts := upstream.control())["running"] != count:
        assert time.monotonic() < deadline, counts
        time.sleep(0.01)
    return counts


def test_frames_arrive_in_order_and_are_timed(upstream):
    upstream.control(frames=20, pace_us=5000)
    result = run(url_of(upstream), stream=True, connections=50, calls=100, frames=20, pace_ms=5, timeout=30)
    assert (result["succeeded"], result["failed"], result["frames"]) == (100, 0, 2000)
    assert result["frame_added_us"]["count"] == 2000 and result["frame_gap_us"]["count"] == 1900
    counts = upstream.control()
    assert (counts["streams"], counts["finished"], counts["frames"], counts["running"]) == (100, 100, 2000, 0)
    assert counts["authorized"] == 100


def test_plain_calls_are_counted_on_both_sides(upstream):
    result = run(url_of(upstream), connections=8, calls=500)
    assert (result["succeeded"], result["failed"], result["connects"]) == (500, 0, 8)
    assert upstream.control()["plain"] == 500


def test_large_prompts_pass_in_one_piece_and_in_chunks(upstream):
    assert run(url_of(upstream), connections=1, calls=2, prompt_bytes=10_000_000)["succeeded"] == 2
    body = iter([b'{"stream": false, "x": "', b"y" * 3_000_000, b'"}'])  # urllib sends an iterator in chunks
    request = urllib.request.Request(url_of(upstream), data=body, method="POST", headers={"Transfer-Encoding": "chunked"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["usage"]["completion_tokens"] == 60
    assert upstream.control()["body_bytes"] > 23_000_000


def test_held_streams_stay_open_and_are_cancelled_when_the_client_leaves(upstream):
    upstream.control(frames=1, pace_us=3_600_000_000)
    load = Load(url_of(upstream), "key", stream=True, connections=200, hold=0.5)
    assert load.wait_until_open() == 200
    assert upstream.control()["running"] == 200
    result = load.result()
    assert (result["held"], result["failed"], result["broken_while_held"]) == (200, 0, 0)
    counts = wait_for_running(upstream, 0)
    assert (counts["running"], counts["cancelled"]) == (0, 200)


def test_running_streams_can_be_released(upstream):
    upstream.control(frames=1, pace_us=3_600_000_000)
    load = Load(url_of(upstream), "key", stream=True, connections=20, frames=1)
    wait_for_running(upstream, 20)
    upstream.control(release=1)
    assert load.result()["succeeded"] == 20


def test_a_mistake_in_the_flags_is_told():
    done = subprocess.run([str(build("streamload")), "--url", "https://127.0.0.1/"], capture_output=True, text=True)
    assert done.returncode == 2 and "http://" in done.stderr


def test_a_figure_fails_only_when_its_whole_interval_is_beyond_the_limit():
    def verdict(values, relation="<=", limit=2.0):
        return Requirement("part", "what", values, relation, limit).verdict

    assert verdict([1.0, 2.0, 2.5]) == "pass"
    assert verdict([1.9, 2.1, 2.5]) == "within noise"
    assert verdict([2.1, 2.2, 2.5]) == "FAIL"
    assert verdict([61, 70], ">=", 60) == "pass"
    assert verdict([50, 58], ">=", 60) == "FAIL"
    assert verdict([0.0], "<=", 0) == "pass" and verdict([0.0], "<", 0) == "FAIL"
    assert median_interval([1, 2, 3, 4, 5, 6, 7])[:2] == (1, 7)
    assert median_interval(list(range(10)))[:2] == (1, 8)


def test_a_count_of_instructions_fails_beyond_its_tolerance_and_without_a_threshold():
    thresholds = Thresholds("nothing")
    thresholds.known = {"scan": {"instructions": 1000, "tolerance_percent": 3}}
    assert [thresholds.judge("scan", count)[2] for count in (1000, 1030, 1031, 969)] == ["pass", "pass", "FAIL", "better: update"]
    assert thresholds.judge("another", 1)[2] == "NO THRESHOLD"
