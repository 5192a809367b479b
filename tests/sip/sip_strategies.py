"""What hypothesis draws SIP from: URIs, values of header fields, whole messages."""

from typing import TypeVar

from hypothesis import strategies as st

from sansio_sip.sip.headers import (
    Challenge,
    Credentials,
    CSeq,
    Event,
    MediaType,
    NameAddress,
    Quoted,
    RAck,
    Reason,
    Via,
)
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.uri import OtherUri, SipUri

__all__ = [
    "auth_parameters",
    "messages",
    "name_addresses",
    "other_uris",
    "requests",
    "responses",
    "sip_uris",
    "uris",
    "values",
]

T = TypeVar("T")

_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

# Any text that has octets; what a header field holds has no line ends.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
token = st.text(_ALPHANUMERIC + "-.!%*_+`'~", min_size=1, max_size=10)
label = st.sampled_from(["example", "a", "xn--bcher-kva", "_sip", "10", "A-1", "x--y"])
hosts = st.one_of(
    st.lists(label, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(0, 65535)

_uri_parameters = st.lists(
    st.tuples(text.filter(bool), st.none() | text),
    max_size=3,
).map(tuple)


@st.composite
def _sip_uris(draw: st.DrawFn) -> SipUri:
    user = draw(st.none() | text.filter(bool))
    return SipUri(
        draw(hosts),
        user,
        None if user is None else draw(st.none() | text),
        draw(ports),
        draw(_uri_parameters),
        draw(st.lists(st.tuples(text.filter(bool), text), max_size=2).map(tuple)),
        draw(st.sampled_from(["sip", "sips"])),
    )


sip_uris = _sip_uris()

other_uris = st.builds(
    OtherUri,
    scheme=st.sampled_from(["tel", "urn", "TEL", "http", "soap.beep", "im", "x+1-2"]),
    opaque=st.text(_ALPHANUMERIC + "-_.!~*'();/?:@&=+$,#[]", min_size=1, max_size=12),
)
uris = sip_uris | other_uris

_plain_value = st.text("".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '",;<>'), max_size=8)
parameters = st.lists(
    st.tuples(token, st.none() | _plain_value | line.map(Quoted)),
    max_size=4,
).map(tuple)
auth_parameters = st.lists(st.tuples(token, _plain_value | line.map(Quoted)), min_size=1, max_size=4).map(tuple)

name_addresses = st.builds(NameAddress, uri=uris, display_name=st.none() | line, parameters=parameters)
vias = st.builds(Via, transport=token, host=hosts, port=ports, parameters=parameters)
cseqs = st.builds(CSeq, number=st.integers(0, 2**31 - 1), method=token)
reasons = st.builds(
    Reason,
    protocol=token,
    cause=st.none() | st.integers(0, 999_999_999),
    text=st.none() | line,
    parameters=st.lists(
        st.tuples(token.filter(lambda name: name.lower() not in ("cause", "text")), st.none() | _plain_value),
        max_size=2,
    ).map(tuple),
)

values = {
    Via: vias,
    NameAddress: name_addresses,
    CSeq: cseqs,
    RAck: st.builds(RAck, st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), token),
    MediaType: st.builds(MediaType, token, token, parameters),
    Event: st.builds(Event, token, parameters),
    Reason: reasons,
    Challenge: st.builds(Challenge, token, auth_parameters | st.just(())),
    Credentials: st.builds(Credentials, token, auth_parameters | st.just(())),
}
"""A strategy for each type of value that has `parse`."""

_TYPED = frozenset(
    ("via", "from", "to", "call-id", "cseq", "max-forwards", "expires", "content-length", "content-type")
)


def _is_free(name: str) -> bool:
    return len(name) > 1 and name.lower() not in _TYPED and not name.lower().startswith("content-")


_free_names = token.filter(_is_free)
_free_values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)


@st.composite
def _rows(draw: st.DrawFn, method: str) -> list[tuple[str, str]]:
    rows = [
        (draw(st.sampled_from(["Via", "v", "VIA"])), str(via)) for via in draw(st.lists(vias, min_size=1, max_size=2))
    ]
    rows += [
        (draw(st.sampled_from(["From", "f"])), str(draw(name_addresses))),
        (draw(st.sampled_from(["To", "t", "tO"])), str(draw(name_addresses))),
        (draw(st.sampled_from(["Call-ID", "i"])), draw(st.text(_ALPHANUMERIC + "@.-", min_size=1, max_size=12))),
        ("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}"),
    ]
    rows += draw(st.lists(st.tuples(_free_names, _free_values), max_size=2))
    return draw(st.permutations(rows))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    method = draw(st.sampled_from(["INVITE", "ACK", "BYE", "REGISTER"]) | token)
    uri = draw(uris)
    if isinstance(uri, SipUri):
        uri = SipUri(uri.host, uri.user, uri.password, uri.port, uri.parameters, (), uri.scheme)
    return Request(method, uri, draw(_rows(method)), draw(st.binary(max_size=40)))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    phrase = draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12))
    return Response(draw(st.integers(100, 699)), phrase, draw(_rows(draw(token))), draw(st.binary(max_size=40)))


messages = requests() | responses()
