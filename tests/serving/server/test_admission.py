"""Which Host names and origins are answered; CORS; and the server under a path of a proxy."""

import http.client
import json
import re
from contextlib import closing

import pytest
from running_server import running_server

from pairnet.errors import ArgumentError
from pairnet.serving.server.admission import Admission, is_here

PATH = "/v2/models/order_net_xs"
TENSOR = {"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}
BODY = json.dumps({"inputs": [TENSOR]})
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
ORIGIN = "https://digits.example.org"


@pytest.fixture(scope="module")
def server():
    with running_server() as running:
        yield running


def ask(server, path=PATH, method="GET", body=None, **headers):
    """Status, headers and content; `_` stands for `-` in the names of headers."""
    with closing(http.client.HTTPConnection(server.rest, timeout=30)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode(errors="replace")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("app.localhost", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("10.0.0.1", 200),  # an address: no site can let one point elsewhere
        ("10.0.0.1:8080", 200),
        ("[fd00::5]:8080", 200),
        ("[::ffff:127.0.0.1]", 200),
        ("localhost.", 200),
        ("localhost.:8080", 200),
        ("app.localhost.", 200),
        ("localhost@evil.example", 403),
        ("localhost:8080, evil.example", 403),
        ("evil.example:80:127.0.0.1", 403),
        ("127.1", 403),
        ("2130706433", 403),
        ("x" * 9000, 403),
    ],
)
@pytest.mark.parametrize(
    ("path", "method", "body"), [(PATH, "GET", None), ("/", "GET", None), (f"{PATH}/infer", "POST", BODY)]
)
def test_names_of_other_hosts_are_refused_on_this_machine(server, path, method, body, host, status):
    for _ in range(2):
        found, _, content = ask(server, path, method, body, Host=host)
        assert found == status
        assert status == 200 or "--allowed-host" in json.loads(content)["error"]
        assert len(content) < 500 or status == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", CROSS, 403),
        ("POST", CROSS | {"Sec-Fetch-Mode": "no-cors"}, 403),
        ("POST", CROSS | {"Sec-Fetch-Mode": "navigate"}, 403),  # a form of another site
        ("GET", CROSS | {"Sec-Fetch-Mode": "navigate"}, 200),  # a link
        ("GET", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", {"Sec-Fetch-Site": "same-site"}, 200),
        ("GET", {"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_pages_of_other_sites_are_refused(server, method, headers, status):
    path = PATH if method == "GET" else "/v2/repository/index"
    found, _, content = ask(server, path, method, **headers)
    assert found == status
    assert status == 200 or "--cors-origin" in json.loads(content)["error"]


def test_no_origin_may_read_answers_unless_it_is_named(server):
    for path in (PATH, "/v2"):
        assert "access-control-allow-origin" not in ask(server, path, Origin=ORIGIN)[1]
    assert ask(server, PATH, "OPTIONS", Origin=ORIGIN, Access_Control_Request_Method="GET")[0] == 405


def test_named_hosts_and_origins_are_answered_and_others_not():
    with running_server("--allowed-host", "digits.example.org", "--cors-origin", ORIGIN) as server:
        assert ask(server, Host="digits.example.org:443")[0] == 200
        assert ask(server, Host="other.example.org")[0] == 403
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
        status, headers, _ = ask(server, f"{PATH}/infer", "OPTIONS", Origin=ORIGIN, **asked, **CROSS)
        assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert "POST" in headers["access-control-allow-methods"]
        assert headers["access-control-allow-headers"] == "content-type"
        for body, expected in ((BODY, 200), ("{", 400)):  # errors are readable, too
            sent = {"Origin": ORIGIN, "Content-Type": "application/json", **CROSS}
            status, headers, _ = ask(server, f"{PATH}/infer", "POST", body, **sent)
            assert (status, headers["access-control-allow-origin"]) == (expected, ORIGIN)
        other = "https://other.example.org"
        status, headers, _ = ask(server, f"{PATH}/infer", "OPTIONS", Origin=other, **asked, **CROSS)
        assert status == 403
        assert "access-control-allow-origin" not in headers
        assert ask(server, f"{PATH}/infer", "POST", BODY, Origin=other, **CROSS)[0] == 403


def test_on_other_addresses_any_host_is_answered_unless_some_are_named():
    with running_server("--host", "0.0.0.0") as server:
        assert ask(server, Host="digits.example.org")[0] == 200
        assert ask(server, **CROSS)[0] == 403
    with running_server("--host", "0.0.0.0", "--allowed-host", "digits.example.org") as server:
        assert [ask(server, Host=host)[0] for host in ("digits.example.org", "localhost", "x")] == [200, 200, 403]


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "null", "", "https://", "ftp://x", "*.x"])
def test_what_is_no_origin_is_refused_at_start(origin, command_line):
    with pytest.raises(ArgumentError, match="`cors_origins`: expected an origin"):
        Admission(origins=[origin])
    assert command_line("serve", "--port", "0", "--cors-origin", origin)[0] == 2


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_probes_are_answered_under_any_name(server, path):
    assert ask(server, path, Host="evil.example")[0] == 200
    assert ask(server, path.replace("/v2", "/x/v2"), Host="evil.example")[0] == 403


@pytest.mark.parametrize(
    "name", ["digits.example.org:8443", "https://x.example", "a b", "", ".", "x/y", "*", "fd00::5:x"]
)
def test_what_no_host_could_match_is_refused_at_start(name, command_line):
    with pytest.raises(ArgumentError, match="`allowed_hosts`: expected a name of a host"):
        Admission(hosts=[name])
    assert command_line("serve", "--port", "0", "--allowed-host", name)[0] == 2


def test_names_of_hosts_are_compared_without_case_and_the_last_dot():
    for name in ("digits.example.org", "Digits.Example.ORG", "digits.example.org."):
        for sent in (b"digits.example.org", b"DIGITS.example.org.:8443"):
            assert Admission(hosts=[name]).refusal("GET", {b"host": sent}) is None
    for name in ("10.0.0.1", "fd00::5", "[fd00::5]"):  # answered anyway
        assert Admission(hosts=[name]).refusal("GET", {b"host": b"evil.example"}) is not None


def test_which_names_mean_this_machine():
    assert all(
        map(is_here, ("localhost", "localhost.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "a.localhost"))
    )
    assert not any(map(is_here, ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org")))


def test_all_addresses_of_the_page_and_of_docs_are_relative_so_that_a_proxy_may_put_them_under_a_path(server):
    for path in ("/", "/docs"):
        page = ask(server, path)[2]
        named = re.findall(r"""(?:href|src|url)\s*[=:]\s*["']([^"']+)""", page)
        assert named
        assert not [each for each in named if each.startswith("/") or "://" in each.replace("http://www.w3.org", "")]
        for each in named:
            if not each.startswith(("data:", "#")):
                assert ask(server, f"/{each}")[0] == 200
    document = json.loads(ask(server, "/openapi.json")[2])
    assert document["servers"] == [
        {"url": ".", "description": "this server"}
    ]  # resolved against the document's own address
