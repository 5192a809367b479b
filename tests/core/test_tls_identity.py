"""Whose certificate it is: RFC 5922 for SIP over TLS, RFC 9525 for a secure WebSocket."""

import re

import pytest

from sansio_sip.effects import TlsPeer
from sansio_sip.server_url import ServerUrl
from sansio_sip.tls_identity import identities, identity_fault

SCHEME = re.compile("sips?:|http:", re.IGNORECASE)
TLS = "tls://example.com"
WSS = "wss://pbx.example.com"


def peer(*names: str) -> TlsPeer:
    """A verified peer; what has a scheme is a URI of its subjectAltName."""
    return TlsPeer(
        tuple(name for name in names if not SCHEME.match(name)),
        tuple(name for name in names if SCHEME.match(name)),
        verified=True,
    )


@pytest.mark.parametrize(
    ("url", "names", "good"),
    [
        pytest.param(TLS, ["example.com"], True, id="the DNS name"),
        pytest.param(TLS, ["EXAMPLE.com."], True, id="in other letters"),
        pytest.param(TLS, ["other.com", "example.com"], True, id="one of two"),
        pytest.param(TLS, ["sip:example.com"], True, id="a SIP URI"),
        pytest.param(TLS, ["SIP:Example.Com"], True, id="a SIP URI in other letters"),
        pytest.param(TLS, ["sip:example.com:5061;transport=tls"], True, id="a SIP URI with more"),
        pytest.param(TLS, ["sip:other.com", "example.com"], False, id="DNS names do not count beside a SIP URI"),
        pytest.param(TLS, ["sip:alice@other.com", "example.com"], True, id="but beside one with a user they do"),
        pytest.param(TLS, ["sip:alice@example.com"], False, id="a person is no domain"),
        pytest.param(TLS, ["sips:example.com"], False, id="sips is no identity"),
        pytest.param(TLS, ["http://example.com/"], False, id="http is no identity"),
        pytest.param(TLS, ["*.com"], False, id="no wildcard for SIP"),
        pytest.param("tls://a.example.com", ["*.example.com"], False, id="no wildcard for SIP hosts either"),
        pytest.param("tls://a.example.com", ["example.com"], False, id="a subdomain is another"),
        pytest.param(TLS, ["a.example.com"], False, id="so is a parent"),
        pytest.param(TLS, [], False, id="no name"),
        pytest.param(WSS, ["pbx.example.com"], True, id="WebSocket: the DNS name"),
        pytest.param(WSS, ["*.example.com"], True, id="WebSocket: a wildcard"),
        pytest.param(WSS, ["*.com"], False, id="WebSocket: a wildcard stands for one label"),
        pytest.param("wss://example.com", ["*.example.com"], False, id="WebSocket: and for a whole one"),
        pytest.param("wss://example.com", ["*.com"], False, id="WebSocket: not for a whole domain"),
        pytest.param(WSS, ["p*.example.com"], False, id="WebSocket: no part of a label"),
        pytest.param(WSS, ["sip:pbx.example.com"], False, id="WebSocket: HTTPS knows no SIP URI"),
        pytest.param(WSS, ["sip:other.com", "pbx.example.com"], True, id="WebSocket: nor does one hide the names"),
        pytest.param("tls://127.0.0.1", ["127.0.0.1"], True, id="an IP address"),
        pytest.param("tls://127.0.0.1", ["127.0.0.2"], False, id="another IP address"),
        pytest.param("wss://[2001:db8::1]", ["2001:DB8:0:0:0:0:0:1"], True, id="an IPv6 address, written otherwise"),
        pytest.param("wss://127.0.0.1", ["*.0.0.1"], False, id="no wildcard for an address"),
    ],
)
def test_the_certificate_must_name_the_server(url: str, names: list[str], good: bool) -> None:
    fault = identity_fault(peer(*names), ServerUrl.parse(url))
    assert (fault is None) == good, fault


def test_a_chain_that_was_not_verified_is_no_identity() -> None:
    assert identity_fault(None, ServerUrl.parse(TLS)) == "the certificate was not verified"
    assert identity_fault(TlsPeer(("example.com",)), ServerUrl.parse(TLS)) == "the certificate was not verified"


def test_the_fault_names_both() -> None:
    fault = identity_fault(peer("other.com", "b.com"), ServerUrl.parse(TLS))
    assert fault == "the certificate is for other.com, b.com, not for example.com"


def test_an_ipv6_address_in_a_sip_uri_loses_its_brackets() -> None:
    assert identities(peer("sip:[2001:db8::1]:5061"), web_socket=False) == ("2001:db8::1",)
