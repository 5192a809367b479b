"""One HTTP request: redirections, addresses in turn, certificates, bounds, and answers that are none."""

import pytest

from sansio_sip.effects import Address, CloseFlow, FlowId, OpenStream, Resolve, SendStream, TlsPeer, TlsPolicy
from sansio_sip.http_client import MAX_REDIRECTS, HttpAnswered, HttpExchange, HttpFailed, HttpOutput, HttpRequest

HERE = Address("192.0.2.1", 40_000)
URL = "http://192.0.2.9/a?b=c"


def exchange(url: str = URL, method: str = "GET", **options: object) -> HttpExchange:
    return HttpExchange("f", HttpRequest(method, url, **_of(options, "headers", "body")), **options, now=0.0)  # type: ignore[arg-type]


def _of(options: dict[str, object], *names: str) -> dict[str, object]:
    return {name: options.pop(name) for name in names if name in options}


def open_flow(made: HttpExchange, number: int = 1, peer: TlsPeer | None = None) -> list[HttpOutput]:
    made.flow_opened(FlowId(f"f.{number}"), HERE, Address("192.0.2.9", 80), peer, now=0.1)
    return list(made.outputs())


def answer(made: HttpExchange, text: str, number: int = 1) -> list[HttpOutput]:
    made.receive_stream(FlowId(f"f.{number}"), text.replace("\n", "\r\n").encode(), now=0.2)
    return list(made.outputs())


def test_a_request_and_its_answer_in_pieces() -> None:
    made = exchange(method="POST", headers=(("X-Key", "1"),), body=b"hello")
    assert list(made.outputs()) == [OpenStream(FlowId("f.1"), "192.0.2.9", 80, None)]
    (sent,) = open_flow(made)
    assert isinstance(sent, SendStream)
    head, _, body = sent.data.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert head.split(b"\r\n") == [
        *(b"POST /a?b=c HTTP/1.1", b"Host: 192.0.2.9", b"Connection: close", b"X-Key: 1", b"Content-Length: 5"),
    ]
    assert answer(made, "HTTP/1.1 200 OK\nContent-Le") == []
    assert answer(made, "ngth: 3\n\nab") == []
    assert answer(made, "c") == [
        CloseFlow(FlowId("f.1")),
        HttpAnswered(200, (("content-length", "3"),), b"abc"),
    ]
    assert made.is_over
    assert made.next_timeout() is None


def test_what_is_about_others_or_comes_after_the_end_changes_nothing() -> None:
    made = exchange("http://example.com/")
    list(made.outputs())
    made.resolved(7, (HERE,), now=0.0)
    made.flow_opened(FlowId("other"), HERE, now=0.0)
    made.flow_lost(FlowId("other"), "gone", now=0.0)
    made.receive_stream(FlowId("other"), b"HTTP/1.1 200 OK\r\n\r\n", now=0.0)
    made.handle_timeout(now=29.9)
    assert list(made.outputs()) == []
    made.handle_timeout(now=30.0)
    assert list(made.outputs()) == [HttpFailed("no answer in time")]
    made.resolved(1, (HERE,), now=31.0)
    made.handle_timeout(now=99.0)
    assert list(made.outputs()) == []


def test_addresses_are_tried_in_turn() -> None:
    made = exchange("http://example.com:8080/")
    assert list(made.outputs()) == [Resolve(1, "example.com")]
    made.resolved(1, (Address("192.0.2.9", 0), Address("192.0.2.8", 0)), now=0.0)
    assert list(made.outputs()) == [OpenStream(FlowId("f.1"), "192.0.2.9", 8080, None)]
    made.flow_lost(FlowId("f.1"), "refused", now=0.1)
    assert list(made.outputs()) == [OpenStream(FlowId("f.2"), "192.0.2.8", 8080, None)]
    made.flow_lost(FlowId("f.2"), "refused", now=0.2)
    assert list(made.outputs()) == [HttpFailed("example.com: refused")]


def test_a_name_without_an_address() -> None:
    made = exchange("http://example.com/")
    made.resolved(1, (), now=0.0)
    assert list(made.outputs())[1:] == [HttpFailed("example.com: the name has no address")]


def test_the_certificate_must_be_that_of_the_url() -> None:
    made = exchange("https://example.com/")
    made.resolved(1, (Address("192.0.2.9", 0),), now=0.0)
    assert list(made.outputs())[1:] == [
        OpenStream(FlowId("f.1"), "192.0.2.9", 443, TlsPolicy("example.com", None, True))
    ]
    closed, failed = open_flow(made, peer=None)
    assert closed == CloseFlow(FlowId("f.1"))
    assert isinstance(failed, HttpFailed)
    assert failed.reason.startswith("example.com: ")
    unchecked = exchange("https://192.0.2.9/", tls_verify=False)
    list(unchecked.outputs())
    assert [type(output) for output in open_flow(unchecked)] == [SendStream]


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, b"GET", b""), (303, b"GET", b""), (307, b"POST", b"hi"), (308, b"POST", b"hi")]
)
def test_a_redirection_is_followed(status: int, method: bytes, body: bytes) -> None:
    made = exchange(method="POST", body=b"hi")
    list(made.outputs())
    open_flow(made)
    assert answer(made, f"HTTP/1.1 {status} There\nLocation: /new\nContent-Length: 2\n\nno") == [
        CloseFlow(FlowId("f.1")),
        OpenStream(FlowId("f.2"), "192.0.2.9", 80, None),
    ]
    (sent,) = open_flow(made, 2)
    assert isinstance(sent, SendStream)
    assert sent.data.startswith(method + b" /new HTTP/1.1\r\n")
    assert sent.data.endswith(b"\r\n\r\n" + body)
    last = answer(made, "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 2)[-1]
    assert isinstance(last, HttpAnswered)
    assert last.body == b"x"


@pytest.mark.parametrize(
    ("url", "location", "reason"),
    [
        (URL, "ftp://192.0.2.9/", "redirected to 'ftp://192.0.2.9/'"),
        ("https://192.0.2.9/", "http://192.0.2.9/", "redirected from https to http"),
    ],
)
def test_redirections_that_are_not_followed(url: str, location: str, reason: str) -> None:
    made = exchange(url, tls_verify=False)
    list(made.outputs())
    open_flow(made)
    outputs = answer(made, f"HTTP/1.1 302 There\nLocation: {location}\nContent-Length: 0\n\n")
    assert outputs == [CloseFlow(FlowId("f.1")), HttpFailed(reason)]


def test_redirections_are_bounded() -> None:
    made = exchange()
    outputs: list[HttpOutput] = []
    for number in range(1, MAX_REDIRECTS + 2):
        list(made.outputs())
        open_flow(made, number)
        outputs = answer(made, "HTTP/1.1 301 There\nLocation: /\nContent-Length: 0\n\n", number)
    assert outputs[-1] == HttpFailed(f"over {MAX_REDIRECTS} redirections")


def test_a_redirection_to_nowhere_is_an_answer() -> None:
    made = exchange()
    list(made.outputs())
    open_flow(made)
    last = answer(made, "HTTP/1.1 302 There\nContent-Length: 0\n\n")[-1]
    assert isinstance(last, HttpAnswered)
    assert last.status == 302


def test_a_body_beyond_its_bound() -> None:
    made = exchange(max_body=4)
    list(made.outputs())
    open_flow(made)
    assert answer(made, "HTTP/1.1 200 OK\n\n12345")[-1] == HttpFailed("the response has over 4 octets")


def test_a_body_that_ends_with_the_stream() -> None:
    made = exchange()
    list(made.outputs())
    open_flow(made)
    assert answer(made, "HTTP/1.1 200 OK\n\nall of it") == []
    made.flow_lost(FlowId("f.1"), "closed", now=0.3)
    (answered,) = made.outputs()
    assert isinstance(answered, HttpAnswered)
    assert answered.body == b"all of it"


def test_a_stream_that_ends_before_the_response() -> None:
    made = exchange()
    list(made.outputs())
    open_flow(made)
    made.flow_lost(FlowId("f.1"), "reset", now=0.3)
    assert list(made.outputs()) == [HttpFailed("the server has closed the connection: reset")]


def test_an_answer_that_is_no_http() -> None:
    made = exchange()
    list(made.outputs())
    open_flow(made)
    failed = answer(made, "SSH-2.0-OpenSSH\n\n")[-1]
    assert isinstance(failed, HttpFailed)
    assert failed.reason.startswith("the response cannot be read")


@pytest.mark.parametrize("url", ["ftp://a/", "http:///a", "http://a:99999/", "a"])
def test_what_is_no_url_of_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="allowed are http"):
        HttpRequest("GET", url)


def test_a_header_cannot_end_its_line() -> None:
    with pytest.raises(ValueError, match="line break"):
        HttpRequest("GET", URL, headers=(("X", "a\r\nY: b"),))
