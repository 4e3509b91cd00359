"""The way from Martlet to its providers: proxies, private authorities, client certificates, addresses that are out of bounds."""

import getpass
import pathlib
import shutil
import subprocess

import pytest

from peers import Authority, FakeProvider, FakeProxy, answer, server_context
from processes import SIMULATOR_KEY, Process, Simulator, free_port, wait_until

CALL = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Do swifts sleep?"}]}
PASSWORD = "pa:ss/word@1"
CREDENTIALS = f"martlet:{PASSWORD}"
USERINFO = "martlet:pa%3Ass%2Fword%401"

CONFIGURATION = """
server: { host: 127.0.0.1, port: %%(port)d, loops: 1, drain: { delay: 0s } }
data: ./data
network: { %(network)s }
providers:
  - { id: sim, base_url: "%(url)s/v1", api_key: "env://SIM_KEY"%(provider)s }
%(more)smodels:
  - name: gpt-4o-mini
    deployments: [{ provider: sim }%(fallback)s]
    price: { input: 0.15, output: 0.60 }
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "Private-CA")


@pytest.fixture(scope="module")
def certificate(authority):
    return authority.issue("provider")


@pytest.fixture(scope="module")
def secured(tmp_path_factory, certificate):
    """A simulator behind TLS, with a certificate of the private authority."""
    flags = ["--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]), "--tokens", "12"]
    simulator = Simulator(tmp_path_factory.mktemp("secured"), *flags, tls=True)
    try:
        yield simulator.start()
    finally:
        simulator.stop()


@pytest.fixture
def start(make_gateway, own_simulator):
    """Starts a gateway whose provider is reached as the test says."""

    def make(url=None, network="", provider="", fallback=None, environment=None, wrapper=()):
        more = f'  - {{ id: second, base_url: "{fallback}/v1", api_key: "env://SIM_KEY", proxy: "off" }}\n' if fallback else ""
        configuration = CONFIGURATION % {
            "url": url or own_simulator.url, "network": network, "provider": provider, "more": more,
            "fallback": ", { provider: second }" if fallback else "",
        }  # fmt: skip
        gateway = make_gateway(configuration=configuration, models="", environment=environment)
        gateway.wrapper = list(wrapper)
        return gateway.start()

    return make


def call(gateway, request_id="r", stream=False):
    key = gateway.create_key()["key"]
    return gateway.request("POST", "/v1/chat/completions", {**CALL, "stream": stream}, key, {"x-request-id": request_id})


def check_works(gateway, calls=3):
    key = gateway.create_key()["key"]
    for number in range(calls):
        got = gateway.request("POST", "/v1/chat/completions", {**CALL, "stream": number % 2 == 1}, key, {"x-request-id": f"ok-{number}"})
        assert got.status == 200, got
    assert [gateway.row(f"ok-{number}")["outcome"] for number in range(calls)] == ["success"] * calls


def check_unreachable(gateway, reason, request_id="gone"):
    got = call(gateway, request_id)
    assert got.status == 502 and got.json()["error"]["code"] == "upstream_unreachable", got
    row = gateway.row(request_id)
    assert row["outcome"] == "upstream_error" and row["status"] == 502
    wait_until(lambda: reason in gateway.log.read_text(), 5, f"the log tells why: {reason}\n{gateway.log.read_text()}")


def check_no_secret(gateway):
    said = gateway.output()
    for secret in (PASSWORD, USERINFO, "bWFydGxldDpwYTpz", SIMULATOR_KEY):
        assert secret not in said, f"{secret} was logged"


# Proxies


def test_an_https_provider_is_reached_by_a_tunnel_that_later_calls_use_again(start, secured, authority):
    with FakeProxy() as proxy:
        gateway = start(secured.url, provider=f', ca_file: "{authority.file}", proxy: "http://127.0.0.1:{proxy.port}"')
        check_works(gateway, calls=6)
        assert proxy.tunnels == [f"127.0.0.1:{secured.port}"]
        assert "authorization" not in proxy.requests[0].headers, "the provider's key is for the provider"


def test_an_http_provider_is_asked_for_in_absolute_form_over_a_connection_that_is_used_again(start, own_simulator):
    with FakeProxy() as proxy:
        gateway = start(provider=f', proxy: "http://127.0.0.1:{proxy.port}"')
        check_works(gateway, calls=4)
        assert [request.target for request in proxy.requests] == [f"{own_simulator.url}/v1/chat/completions"] * 4
        assert proxy.connections == 1
        assert own_simulator.stats()["requests"]["/v1/chat/completions"] == 4


@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_a_proxy_that_wants_credentials_gets_them_and_nobody_else_does(start, own_simulator, secured, authority, is_tls):
    with FakeProxy(credentials=CREDENTIALS) as proxy:
        address = f"http://{USERINFO}@127.0.0.1:{proxy.port}"
        url = secured.url if is_tls else own_simulator.url
        provider = f', proxy: "env://PROXY"' + (f', ca_file: "{authority.file}"' if is_tls else "")
        gateway = start(url, provider=provider, environment={"PROXY": address})
        check_works(gateway)
        assert all("proxy-authorization" in request.headers for request in proxy.requests)
        check_no_secret(gateway)
        shown = subprocess.run(
            [str(gateway_binary()), "config", "show", "--config", str(gateway.configuration)],
            cwd=gateway.directory, env={**gateway.environment}, capture_output=True, text=True, timeout=30, check=True,
        ).stdout  # fmt: skip
        assert f"http://***@127.0.0.1:{proxy.port}" in shown
        for secret in (PASSWORD, USERINFO, SIMULATOR_KEY):
            assert secret not in shown


def gateway_binary():
    from processes import BINARY

    return BINARY


@pytest.mark.parametrize("is_tls", [False, True], ids=["http", "https"])
def test_wrong_credentials_make_the_provider_unreachable_and_the_next_one_is_tried(start, own_simulator, secured, authority, is_tls):
    with FakeProxy(credentials=CREDENTIALS) as proxy:
        url = secured.url if is_tls else own_simulator.url
        provider = f', proxy: "http://martlet:wrong@127.0.0.1:{proxy.port}"' + (f', ca_file: "{authority.file}"' if is_tls else "")
        gateway = start(url, provider=provider, fallback=own_simulator.url)
        got = call(gateway, "fallback")
        assert got.status == 200 and got.headers["x-martlet-provider"] == "second" and got.headers["x-martlet-attempts"] == "2"
        wait_until(lambda: "(407)" in gateway.log.read_text(), 5, "the log tells why")
        assert "wrong" not in gateway.output()


FAULTS = {
    "forbidden": (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", "refused (403)"),
    "bad gateway": (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "refused (502)"),
    "no http": (b"\x15\x03\x01\x00\x02\x02\x16", "reached"),
    "silence and end": (b"", "closed"),
    "early bytes": (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01", "not sound HTTP"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_proxy_that_opens_no_tunnel_makes_the_provider_unreachable(start, secured, authority, fault):
    said, reason = FAULTS[fault]
    with FakeProxy(fault=lambda request: said or b" ") as proxy:
        gateway = start(secured.url, provider=f', ca_file: "{authority.file}", proxy: "http://127.0.0.1:{proxy.port}"')
        check_unreachable(gateway, reason)


def test_nobody_at_the_proxy_is_unreachable(start):
    gateway = start(provider=f', proxy: "http://127.0.0.1:{free_port()}"')
    check_unreachable(gateway, "Connection refused")


def test_a_proxy_behind_tls_works_for_http_and_https_providers(start, own_simulator, secured, authority):
    with FakeProxy(tls=server_context(*authority.issue("proxy"))) as proxy:
        for url in (own_simulator.url, secured.url):
            gateway = start(url, network=f'proxy: "{proxy.url}", no_proxy: [], ca_file: "{authority.file}"')
            check_works(gateway)
        assert len(proxy.tunnels) == 1 and len(proxy.requests) == 4


def test_the_certificate_behind_a_tunnel_must_be_the_providers_and_not_the_proxys(start, authority, secured):
    elsewhere = authority.issue("elsewhere", names="IP:127.0.0.9, DNS:elsewhere")
    with FakeProvider(tls=server_context(*elsewhere)) as provider, FakeProxy() as proxy:
        gateway = start(provider.url, provider=f', ca_file: "{authority.file}", proxy: "http://127.0.0.1:{proxy.port}"')
        check_unreachable(gateway, "another address")
        # The proxy's own address in a certificate is no excuse: here the proxy is at 127.0.0.1 and the provider is not.
        with_name = start(provider.url, provider=f', ca_file: "{authority.file}", proxy: "http://127.0.0.1:{proxy.port}", server_name: elsewhere')
        check_works(with_name, calls=1)


# Which way


def test_the_default_proxy_leaves_out_what_no_proxy_names_and_a_providers_own_word_wins(start, own_simulator):
    with FakeProxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        for network, provider, is_proxied in [
            (f'proxy: "{address}"', "", False),  # this machine is left out unless no_proxy says otherwise
            (f'proxy: "{address}", no_proxy: []', "", True),
            (f'proxy: "{address}", no_proxy: [10.0.0.0/8, .example]', "", True),
            (f'proxy: "{address}", no_proxy: ["127.0.0.1:{own_simulator.port}"]', "", False),
            (f'proxy: "{address}", no_proxy: ["127.0.0.1:1"]', "", True),
            (f'proxy: "{address}", no_proxy: []', ", proxy: off", False),
            ("", f', proxy: "{address}"', True),
        ]:
            before = len(proxy.requests)
            gateway = start(network=network, provider=provider)
            check_works(gateway, calls=1)
            assert (len(proxy.requests) > before) == is_proxied, (network, provider)
            gateway.stop()


def test_the_environment_counts_only_where_the_configuration_says_so(start):
    with FakeProxy() as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        for network, environment, is_proxied in [
            ("", {"http_proxy": address}, False),
            ("proxy: env, no_proxy: []", {"http_proxy": address}, True),
            ("proxy: env, no_proxy: []", {"HTTP_PROXY": address.removeprefix("http://")}, True),
            ("proxy: env, no_proxy: []", {"HTTPS_PROXY": address}, False),
            ("proxy: env, no_proxy: []", {"ALL_PROXY": address}, True),
            ("proxy: env, no_proxy: []", {"http_proxy": address, "NO_PROXY": "other.example,127.0.0.1"}, False),
            ("proxy: env", {"http_proxy": address}, False),
        ]:
            before = len(proxy.requests)
            cleared = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"), "")
            gateway = start(network=network, environment={**cleared, **environment})
            check_works(gateway, calls=1)
            assert (len(proxy.requests) > before) == is_proxied, (network, environment)
            gateway.stop()


# Proxies that people run


class Proxied(Process):
    """A proxy from Debian's packages on a free port."""

    def __init__(self, directory, command, configuration):
        super().__init__(command, directory)
        self.command = shutil.which(command, path="/usr/bin:/usr/sbin:/bin:/sbin")
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        self.configuration = directory / f"{command}.conf"
        self.configuration.write_text(configuration % {"port": self.port, "directory": directory, "user": getpass.getuser()})

    def start(self, *flags):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.command, *flags, str(self.configuration)], cwd=self.directory, stdout=log, stderr=log)
        wait_until(lambda: self._listens(), 20, f"{self.command} listens")
        return self

    def _listens(self):
        import socket

        if self.process.poll() is not None:
            self.fail("ended")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def tinyproxy(tmp_path):
    configuration = """
Port %(port)d
Listen 127.0.0.1
Timeout 60
MaxClients 50
LogLevel Info
BasicAuth martlet swordfish
"""
    if not shutil.which("tinyproxy"):
        pytest.fail("tinyproxy is not installed; `make test` installs tinyproxy-bin")
    proxy = Proxied(tmp_path / "tinyproxy", "tinyproxy", configuration)
    try:
        yield proxy.start("-d", "-c")
    finally:
        proxy.stop()


@pytest.fixture
def squid(tmp_path):
    if not pathlib.Path("/usr/sbin/squid").exists():
        pytest.skip("squid is not installed (its package would start a service); install it to run this")
    configuration = """
http_port 127.0.0.1:%(port)d
acl SSL_ports port 1-65535
http_access deny CONNECT !SSL_ports
http_access allow localhost
http_access deny all
cache deny all
access_log stdio:%(directory)s/access.log
cache_log %(directory)s/cache.log
pid_filename %(directory)s/squid.pid
coredump_dir %(directory)s
logfile_rotate 0
shutdown_lifetime 1 seconds
"""
    directory = tmp_path / "squid"
    proxy = Proxied(directory, "squid", configuration)
    # Squid leaves root's rights behind for those of `proxy`.
    for path in [directory, *directory.parents][:6]:
        if path.stat().st_uid == pathlib.Path.home().stat().st_uid and path != pathlib.Path("/tmp"):
            path.chmod(0o777 if path == directory else 0o755)
    try:
        yield proxy.start("-N", "-f")
    finally:
        proxy.stop()


def test_tinyproxy_serves_http_and_https_providers(start, tinyproxy, own_simulator, secured, authority):
    good = f"http://martlet:swordfish@127.0.0.1:{tinyproxy.port}"
    check_works(start(provider=f', proxy: "{good}"'))
    gateway = start(secured.url, provider=f', ca_file: "{authority.file}", proxy: "{good}"')
    check_works(gateway)
    assert "swordfish" not in gateway.output()
    for url in (own_simulator.url, secured.url):
        check_unreachable(start(url, provider=f', ca_file: "{authority.file}", proxy: "http://127.0.0.1:{tinyproxy.port}"'), "(407)")
    check_unreachable(start("https://127.0.0.1:1", provider=f', proxy: "{good}"'), "the proxy refused (500)")


def test_squid_serves_http_and_https_providers_and_its_own_errors_are_not_the_providers(start, squid, secured, authority):
    address = f"http://127.0.0.1:{squid.port}"
    check_works(start(provider=f', proxy: "{address}"'))
    check_works(start(secured.url, provider=f', ca_file: "{authority.file}", proxy: "{address}"'))
    for url, reason in (("http://127.0.0.1:1", "(503)"), ("https://127.0.0.1:1", "(503)"), ("http://no-such-host.invalid", "(50")):
        check_unreachable(start(url, provider=f', proxy: "{address}"'), reason)


# Certificates


def test_a_provider_that_wants_a_client_certificate_gets_ours(start, authority, certificate, tmp_path):
    chain, key = authority.issue("gateway-of-the-test", names="DNS:gateway")
    both = tmp_path / "both.pem"
    both.write_text(chain.read_text() + key.read_text())
    with FakeProvider(tls=server_context(*certificate, client_authority=authority.file)) as provider, FakeProxy() as proxy:
        trusted = f', ca_file: "{authority.file}"'
        check_works(start(provider.url, provider=f'{trusted}, client_cert: "{chain}", client_key: "{key}"'), calls=1)
        check_works(start(provider.url, provider=f'{trusted}, client_cert: "{both}"'), calls=1)
        check_works(start(provider.url, provider=f'{trusted}, client_cert: "{both}", proxy: "http://127.0.0.1:{proxy.port}"'), calls=1)
        assert provider.peer_names == ["gateway-of-the-test"] * 3
        check_unreachable(start(provider.url, provider=trusted), "cannot be reached")
        stranger = Authority(tmp_path / "stranger", "Stranger").issue("gateway")
        check_unreachable(start(provider.url, provider=f'{trusted}, client_cert: "{stranger[0]}", client_key: "{stranger[1]}"'), "reached")
        assert len(provider.requests) == 3


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_of_several_addresses_one_that_answers_is_enough(start, authority, own_simulator, secured, tmp_path, scheme):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 several.test\n127.0.0.2 several.test\n127.0.0.1 several.test\n")
    wrapper = ["unshare", "--mount", "sh", "-c", f'mount --bind "{hosts}" /etc/hosts && exec "$0" "$@"']
    tried = subprocess.run([*wrapper, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"NOT RUN: no permission for a name with several addresses ({tried.stderr.strip()}); run as root")
    port = secured.port if scheme == "https" else own_simulator.port
    tls = f', ca_file: "{authority.file}", server_name: localhost' if scheme == "https" else ""
    gateway = start(f"{scheme}://several.test:{port}", provider=tls, wrapper=wrapper)
    check_works(gateway, calls=6)


def test_an_authority_for_all_providers_and_a_name_that_is_not_the_hosts(start, authority):
    named = authority.issue("named", names="DNS:api.internal.example")
    with FakeProvider(tls=server_context(*named)) as provider:
        check_unreachable(start(provider.url, network=f'ca_file: "{authority.file}"'), "reached")
        check_unreachable(start(provider.url, network=f'ca_file: "{authority.file}"', provider=", server_name: other.example"), "reached")
        check_works(start(provider.url, network=f'ca_file: "{authority.file}"', provider=", server_name: api.internal.example"), calls=1)


def test_certificates_that_cannot_be_used_keep_the_gateway_from_starting_and_say_why(make_gateway, authority, tmp_path):
    chain, key = authority.issue("mine")
    other = authority.issue("other")[1]
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "text.pem").write_text("no certificate\n")
    for provider, reason in [
        (f'client_cert: "{chain}", client_key: "{other}"', "cannot be used"),
        (f'client_cert: "{chain}"', "cannot be used"),  # no key in it
        (f'client_cert: "{tmp_path}/text.pem", client_key: "{key}"', "text.pem cannot be used"),
        (f'ca_file: "{tmp_path}/text.pem"', "text.pem cannot be used"),
        (f'ca_file: "{tmp_path}/empty.pem"', "empty.pem is empty"),
        (f'ca_file: "{tmp_path}/none.pem"', "cannot be read"),
        (f'client_key: "{key}"', "no use without client_cert"),
    ]:
        configuration = CONFIGURATION % {"url": "https://127.0.0.1:1", "network": "", "provider": ", " + provider, "more": "", "fallback": ""}
        gateway = make_gateway(configuration=configuration, models="")
        gateway.spawn_server()
        assert gateway.wait(20) != 0
        assert reason in gateway.output(), (provider, gateway.output())


def test_certificates_that_have_changed_hold_after_a_reload_and_unchanged_ones_keep_their_connections(start, authority, tmp_path):
    other = Authority(tmp_path / "other", "Other")
    chain, key = authority.issue("gateway-before", names="DNS:gateway")
    after, after_key = authority.issue("gateway-after", names="DNS:gateway")
    (tmp_path / "ca.pem").write_text(authority.file.read_text())
    (tmp_path / "mine.pem").write_text(chain.read_text() + key.read_text())
    reloads = 0

    def reload():
        nonlocal reloads
        reloads += 1
        answered = gateway.api("POST", "/config/reload")
        assert answered, "the reload is answered"

    with FakeProvider(tls=server_context(*authority.issue("changing"), client_authority=authority.file)) as provider:
        gateway = start(provider.url, provider=f', ca_file: "{tmp_path}/ca.pem", client_cert: "{tmp_path}/mine.pem"')
        check_works(gateway, calls=1)
        reload()
        assert call(gateway).status == 200
        assert provider.peer_names == ["gateway-before"], "nothing has changed, so the connection goes on"
        (tmp_path / "mine.pem").write_text(after.read_text() + after_key.read_text())
        reload()
        assert call(gateway).status == 200
        assert provider.peer_names == ["gateway-before", "gateway-after"], "a connection with the former certificate takes no further call"
        (tmp_path / "ca.pem").write_text(other.file.read_text())
        reload()
        check_unreachable(gateway, "not trusted")
        (tmp_path / "ca.pem").write_text("no certificate")
        refused = gateway.request("POST", "/api/v1/config/reload", key=gateway.admin_key)
        assert refused.status >= 400 and b"ca.pem" in refused.body
        (tmp_path / "ca.pem").write_text(authority.file.read_text())
        reload()
        assert call(gateway).status == 200


# Addresses that are out of bounds


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "2852039166", "0xa9fea9fe", "[::ffff:169.254.169.254]"])
def test_metadata_services_are_no_providers(start, host):
    gateway = start(f"http://{host}", provider=", timeouts: { connect: 2s }")
    check_unreachable(gateway, "denied by network.deny or as link-local")


def test_denied_ranges_hold_for_names_too_and_the_next_provider_is_tried(start, own_simulator):
    with FakeProvider() as second:
        url = f"http://localhost:{own_simulator.port}"
        check_unreachable(start(url, network='deny: ["127.0.0.1/32", "::1"]'), "denied")
        # A name has its provider's rules at every connection, whoever was reached before; the proxy of the next one is not asked.
        assert own_simulator.stats()["requests"]["/v1/chat/completions"] == 0
        got = call(start("http://169.254.169.254", fallback=second.url))
        assert got.status == 200 and got.headers["x-martlet-provider"] == "second"


def test_link_local_can_be_allowed(start):
    # An address that cannot be reached without naming an interface, so nothing leaves this machine.
    gateway = start("http://[fe80::1]:9", network="allow_link_local: true", provider=", timeouts: { connect: 300ms }")
    assert call(gateway).status in (502, 504)
    wait_until(lambda: "a provider cannot be reached" in gateway.log.read_text(), 5, "the log tells of it")
    assert "denied" not in gateway.log.read_text()


def test_a_redirect_is_never_followed(start):
    with FakeProvider() as target:
        location = f"content-type: text/html\r\nlocation: {target.url}/v1/chat/completions\r\n"
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            with FakeProvider(lambda request, status=status: answer(b"moved", status, location)) as provider:
                got = call(start(provider.url))
                assert got.status == 502 and got.json()["error"]["code"] == "upstream_invalid_response", got
        assert target.connections == 0


MISTAKES = [
    ('providers: [{ id: p, base_url: "http://user:secret@h/v1" }]', "must not hold a user"),
    ('providers: [{ id: p, base_url: "http://h/v1#x" }]', "query or a fragment"),
    ('providers: [{ id: p, base_url: "http://h/v1?x=secret" }]', "query or a fragment"),
    ('providers: [{ id: p, base_url: "file:///etc/passwd" }]', "http:// or https://"),
    ('providers: [{ id: p, base_url: "gopher://h/v1" }]', "http:// or https://"),
    ('providers: [{ id: p, base_url: "http://h\\r\\nx: y/v1" }]', "valid host"),
    ('providers: [{ id: p, base_url: "http://h/v1", proxy: "socks5://user:secret@h:1080" }]', "SOCKS is not supported"),
    ('providers: [{ id: p, base_url: "http://h/v1", proxy: "http://user:secret@h" }]', "has no port"),
    ('providers: [{ id: p, base_url: "http://h/v1", proxy: "http://us er:secret@h:1" }]', "percent-encoded"),
    ('providers: [{ id: p, base_url: "http://h/v1", proxy: "http://h:1/path" }]', "has no path"),
    ('providers: [{ id: p, base_url: "http://h/v1", headers: { proxy-authorization: secret } }]', "set by the gateway itself"),
    ('network: { proxy: "ftp://h:1" }\nproviders: [{ id: p, base_url: "http://h/v1" }]', "http:// or https://"),
    ('network: { no_proxy: ["a b"] }\nproviders: [{ id: p, base_url: "http://h/v1" }]', "has an entry"),
    ('network: { deny: ["10.0.0.0/99"] }\nproviders: [{ id: p, base_url: "http://h/v1" }]', "has an entry"),
    ('network: { allow_link_local: perhaps }\nproviders: [{ id: p, base_url: "http://h/v1" }]', "true or false"),
]


@pytest.mark.parametrize(("text", "reason"), MISTAKES, ids=[reason for _, reason in MISTAKES])
def test_a_mistake_is_named_without_the_secret_in_it(tmp_path, text, reason):
    (tmp_path / "m.yaml").write_text(text + "\nmodels: [{ name: m, deployments: [{ provider: p }] }]\n")
    checked = subprocess.run([str(gateway_binary()), "config", "check", "--config", "m.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    said = checked.stdout + checked.stderr
    assert checked.returncode != 0 and reason in said and "m.yaml:" in said, said
    assert "secret" not in said
