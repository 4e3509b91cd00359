"""The first moments of a gateway."""

import contextlib
import pathlib
import re
import signal
import socket

from processes import wait_until


def catches(process, number):
    with contextlib.suppress(OSError):
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return found and int(found[1], 16) >> (number - 1) & 1
    return False


def test_sigterm_before_the_gateway_is_up_ends_it_with_0(make_gateway):
    gateway = make_gateway()
    for number in [signal.SIGTERM, signal.SIGINT] * 3:
        gateway.spawn_server()
        wait_until(lambda: gateway.process.poll() is not None or catches(gateway.process, number), 10, "the process listens to signals")
        gateway.process.send_signal(number)
        assert gateway.wait() == 0
    assert gateway.start().is_ready(), "and leaves nothing behind that is in the way"


def test_sighup_before_the_gateway_is_up_does_not_end_it(make_gateway):
    gateway = make_gateway()
    gateway.spawn_server()
    wait_until(lambda: gateway.process.poll() is not None or catches(gateway.process, signal.SIGTERM), 10, "the process listens to signals")
    for _ in range(50):
        gateway.process.send_signal(signal.SIGHUP)
    wait_until(lambda: gateway.process.poll() is not None or gateway.is_ready(), 10, "it comes up all the same")
    assert gateway.process.poll() is None
    gateway.terminate()
    assert gateway.wait() == 0


def test_a_taken_port_is_the_only_trouble_that_is_told(make_gateway):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for _ in range(4):
            gateway = make_gateway()
            gateway.spawn(["serve", "--config", str(gateway.configuration), "--port", str(taken.getsockname()[1])], gateway.environment)
            assert gateway.wait() == 1
            assert "already in use" in gateway.output()
            assert not [line for line in gateway.log_lines() if '"warning"' in line or '"error"' in line]
