"""Who asks: an address that no header forges, and the network that limits are counted by."""

import pytest

from imagineer.client import client_address, client_network


@pytest.mark.parametrize(
    ("proxies", "connection", "forwarded", "address"),
    [
        # no proxy of ours: whatever is forwarded is the client's invention
        (0, "203.0.113.7", None, "203.0.113.7"),
        (0, "203.0.113.7", "198.51.100.1", "203.0.113.7"),
        (0, "203.0.113.7", "198.51.100.1, 127.0.0.1", "203.0.113.7"),
        # one: the last entry is what it saw
        (1, "10.0.0.1", "203.0.113.7", "203.0.113.7"),
        (1, "10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (1, "10.0.0.1", "127.0.0.1,10.0.0.1,  203.0.113.7 ", "203.0.113.7"),
        # two: the last entry is the outer proxy, the one before it the client
        (2, "10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
        (2, "10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        # what has not come through all of them cannot say anything
        (1, "203.0.113.7", None, "203.0.113.7"),
        (1, "203.0.113.7", "", "203.0.113.7"),
        (2, "10.0.0.1", "198.51.100.1", "10.0.0.1"),
        (16, "10.0.0.1", "198.51.100.1, 203.0.113.7", "10.0.0.1"),
        # what is no address is none
        (1, "10.0.0.1", "unknown", "10.0.0.1"),
        (1, "10.0.0.1", "_hidden", "10.0.0.1"),
        (1, "10.0.0.1", "203.0.113.7, ", "10.0.0.1"),
        (1, "10.0.0.1", "203.0.113.999", "10.0.0.1"),
        (1, "10.0.0.1", "x" * 100_000, "10.0.0.1"),
        (1, "10.0.0.1", "203.0.113.7\r\nINFO forged line", "10.0.0.1"),
        # the forms in which proxies write one and the same
        (1, "10.0.0.1", "203.0.113.7:51234", "203.0.113.7"),
        (1, "10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "10.0.0.1", "[2001:DB8::7]:51234", "2001:db8::7"),
        (1, "10.0.0.1", '"[2001:db8::7]"', "2001:db8::7"),
        (1, "10.0.0.1", "2001:0db8:0:0:0:0:0:7", "2001:db8::7"),
        (1, "10.0.0.1", "fe80::7%eth0", "fe80::7"),
        # a Unix socket
        (0, "", "203.0.113.7", "unknown"),
        (1, "", "203.0.113.7", "203.0.113.7"),
    ],
)
def test_the_client_is_who_the_last_of_our_proxies_saw(rf, settings, proxies, connection, forwarded, address):
    settings.TRUSTED_PROXIES = proxies
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    others = {
        "X-Real-IP": "198.51.100.9",
        "Forwarded": "for=198.51.100.9",
        "CF-Connecting-IP": "198.51.100.9",
    }
    assert client_address(rf.get("/", REMOTE_ADDR=connection, headers=headers | others)) == address


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_of_ipv6_the_network_counts(rf, address, network):
    assert client_network(rf.get("/", REMOTE_ADDR=address)) == network


def test_a_forged_host_or_scheme_changes_no_address(client, settings, db):
    forged = {"X-Forwarded-Host": "evil.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444"}
    for proxies in (0, 1, 2):
        settings.TRUSTED_PROXIES = proxies
        request = client.get("/", headers=forged).wsgi_request
        assert request.build_absolute_uri("/") == "http://testserver/"
    assert client.get("/", headers={"Host": "evil.example.org"}).status_code == 400


def test_the_scheme_is_the_proxys_word_where_there_is_one(client, settings, db):
    """Set with IMAGINEER_TRUSTED_PROXIES; a proxy of ours overwrites what the client says."""
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client.get("/", headers={"X-Forwarded-Proto": "https"}).wsgi_request.is_secure()
    assert not client.get("/", headers={"X-Forwarded-Proto": "http"}).wsgi_request.is_secure()
