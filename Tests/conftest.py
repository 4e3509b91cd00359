import pytest

from processes import BINARY, Gateway, Simulator


def pytest_configure(config):
    if not BINARY.exists():
        pytest.exit(f"no binary at {BINARY}; build it with: make build", returncode=2)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One simulator and one gateway for every test that leaves them as they were."""
    directory = tmp_path_factory.mktemp("shared")
    simulator = Simulator(directory / "simulator", "--tokens", "12").start()
    gateway = None
    try:
        gateway = Gateway(directory / "gateway", simulator, extra="log: { calls: all }\n")
        gateway.start()
        yield gateway, simulator
    finally:
        if gateway:
            gateway.stop()
        simulator.stop()


@pytest.fixture(scope="session")
def gateway(shared):
    return shared[0]


@pytest.fixture(scope="session")
def simulator(shared):
    return shared[1]


@pytest.fixture(scope="session")
def key(gateway):
    return gateway.create_key(name="shared")["key"]


@pytest.fixture
def own_simulator(tmp_path):
    """A simulator of this test alone, whose counts nobody else moves."""
    simulator = Simulator(tmp_path / "simulator", "--tokens", "12")
    try:
        yield simulator.start()
    finally:
        simulator.stop()


@pytest.fixture
def make_gateway(tmp_path, own_simulator):
    """Makes gateways of this test alone, not yet started; each is stopped at the end."""
    made = []

    def make(**options):
        options.setdefault("simulator", own_simulator)
        made.append(Gateway(tmp_path / f"gateway-{len(made)}", **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.stop()
