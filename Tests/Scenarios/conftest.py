import pytest

from rawhttp import RawConnection


@pytest.fixture
def connect(gateway):
    """Opens raw connections to the shared gateway and closes them at the end."""
    opened = []

    def make(to=None):
        opened.append(RawConnection((to or gateway).port))
        return opened[-1]

    yield make
    for connection in opened:
        connection.socket.close()
