"""Server URLs: what is one, what is none, and that each comes back as it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansio_sip.errors import ParseError
from sansio_sip.server_url import DEFAULT_PORTS, ServerUrl


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("wss://pbx.example.com", ServerUrl("wss", "pbx.example.com", 443, "/")),
        ("WSS://PBX.Example.com/", ServerUrl("wss", "pbx.example.com", 443, "/")),
        ("ws://127.0.0.1:8080/sip?x=1", ServerUrl("ws", "127.0.0.1", 8080, "/sip?x=1")),
        ("ws://localhost?x", ServerUrl("ws", "localhost", 80, "/?x")),
        ("udp://[2001:DB8::1]", ServerUrl("udp", "2001:db8::1", 5060)),
        ("tcp://[::1]:5070/", ServerUrl("tcp", "::1", 5070)),
        ("tls://sip.example.com.", ServerUrl("tls", "sip.example.com.", 5061)),
        (" udp://a_b-c.d:1 ", ServerUrl("udp", "a_b-c.d", 1)),
    ],
)
def test_a_url_is_read(text: str, url: ServerUrl) -> None:
    assert ServerUrl.parse(text) == url
    assert ServerUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "form"),
        ("pbx.example.com", "form"),
        ("pbx.example.com:5060", "form"),
        ("sip:alice@example.com", "host alone"),
        ("http://pbx.example.com", "scheme"),
        ("udp://", "host name"),
        ("udp://:5060", "host name"),
        ("udp://-a", "host name"),
        ("udp://a..b", "host name"),
        ("udp://a b", "host name"),
        ("udp://ä", "host name"),
        ("udp://" + "a" * 256, "host name"),
        ("udp://256.1.1.1", "IPv4"),
        ("udp://1.2.3", "IPv4"),
        ("udp://[1.2.3.4]", "IPv6"),
        ("udp://[::g]", "IPv6"),
        ("udp://::1", "host name"),
        ("wss://user:secret@pbx", "user and password"),
        ("wss://user@pbx", "user and password"),
        ("ws://a:0", "port"),
        ("ws://a:65536", "port"),
        ("ws://a:", "port"),
        ("ws://a:x", "port"),
        ("ws://a:٣", "port"),
        ("udp://a/path", "no path"),
        ("udp://a?x", "no path"),
        ("ws://a/\r\nX: y", "form|allowed"),
        ("ws://a/ b", "allowed"),
        ("ws://a/#x", "allowed"),
        ("ws://a/" + "x" * 2000, "longer"),
    ],
)
def test_no_url_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        ServerUrl.parse(text)


@pytest.mark.parametrize(
    ("text", "authority"),
    [("wss://a", "a"), ("wss://a:443", "a"), ("ws://a:443", "a:443"), ("ws://[::1]:8080", "[::1]:8080")],
)
def test_the_host_header_names_the_port_only_where_it_must(text: str, authority: str) -> None:
    assert ServerUrl.parse(text).authority == authority


LABELS = st.from_regex(r"[a-z0-9_]([a-z0-9_-]{0,10}[a-z0-9_])?", fullmatch=True).filter(
    lambda label: not label.isdigit()
)
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.ip_addresses().map(str),
)


@settings(max_examples=100, deadline=None)
@given(scheme=st.sampled_from(sorted(DEFAULT_PORTS)), host=HOSTS, port=st.integers(1, 65_535))
def test_every_url_comes_back(scheme: str, host: str, port: int) -> None:
    url = ServerUrl(scheme, host, port)
    assert ServerUrl.parse(str(url)) == url


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60), st.text(max_size=40).map("wss://".__add__), st.text(max_size=40).map("udp://[".__add__)
    )
)
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        url = ServerUrl.parse(text)
    except ParseError:
        return
    assert ServerUrl.parse(str(url)) == url
    assert not any(character in str(url) for character in "\r\n\0 ")
