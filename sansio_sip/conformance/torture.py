"""Messages in the manner of RFC 4475 and RFC 5118, made for the target, and what it may answer to each.

A template has these in brackets: `uri` of the target, `user` and `host` of it, `via` of ours (with a branch of its
own), `sent-by`, `me`, `contact`, `tag`, `call-id`, `branch`, and `sdp`, a description with its Content-Type and length.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Final

from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Headers, Request, Response
from sansio_sip.sip.uri import format_host

from .case import Case, Level
from .end import End, leg_of, named
from .script import Failed, Heard, Role, Script, Send, Step

__all__ = ["CASES", "Torture", "Want", "judge_answer"]


@dataclass(frozen=True, slots=True)
class Want:
    """What a target may make of a message.

    Attributes:
        statuses: final responses that are as they should be.
        lenient: RFC 4475 lets the target take it as what was meant: then any final response will do.
        silent: it may say nothing.
    """

    statuses: tuple[int, ...] = ()
    lenient: bool = False
    silent: bool = True

    def __str__(self) -> str:
        return " or ".join(map(str, self.statuses)) or "no 400"


REFUSED: Final = Want((400,))
FORGIVEN: Final = Want((400,), lenient=True)
UNDERSTOOD: Final = Want(lenient=True, silent=False)
"""Valid: any final response but those that say that it was not understood."""

NOT_UNDERSTOOD: Final = (400, 500, 505, 513)


@dataclass(frozen=True, slots=True)
class Torture:
    """One message. `text` has LF line ends; `rest`: octets after it that no text can hold."""

    name: str
    section: str
    title: str
    text: str
    want: Want
    rfc: str = "4475"
    roles: tuple[Role, ...] = (Role.UAS, Role.REGISTRAR)
    level: Level = "MUST"
    datagram: bool = False


def _options(
    *,
    line: str = "OPTIONS [uri] SIP/2.0",
    via: str = "Via: [via]",
    to: str = "To: <[uri]>",
    sender: str = "From: <[me]>;tag=[tag]",
    call_id: str = "Call-ID: [call-id]",
    cseq: str = "CSeq: 1 OPTIONS",
    more: str = "",
    length: str = "Content-Length: 0",
) -> str:
    rows = (line, via, "Max-Forwards: 70", to, sender, call_id, cseq, "Contact: <[contact]>", *more.splitlines())
    return "\n".join([row for row in (*rows, length) if row]) + "\n\n"


def _invite(*, more: str = "", to: str = "To: <[uri]>", sdp: str = "[sdp]", via: str = "Via: [via]") -> str:
    rows = ("INVITE [uri] SIP/2.0", via, "Max-Forwards: 70", to, "From: <[me]>;tag=[tag]", "Call-ID: [call-id]")
    return "\n".join((*rows, "CSeq: 1 INVITE", "Contact: <[contact]>", *more.splitlines(), sdp))


LONG: Final = "a" * 180

ROWS: Final = (
    Torture(
        "tortuous",
        "3.1.1.1",
        "folded lines, odd spaces, mixed case, compact names, empty and unknown headers",
        'OPTIONS [uri] SIP/2.0\nTO :\n <[uri]>\nfRoM : "Q \\\\\\" uoted"  <[me]>\n  ;\n  tag = [tag]\n'
        "MaX-fOrWaRdS: 0068\ni: [call-id]\ncseq: 0009\n  OPTIONS\n"
        "v: [sent-by];branch\n  =[branch];rport\nSubject:\nNewFangledHeader: new\n"
        ' fangled\nUnknownOddValue: ;;,,;;,;\nm: "Quoted \\"\\"" <[contact]> ; unknown = value\nl: 0\n\n',
        UNDERSTOOD,
    ),
    Torture(
        "odd-method",
        "3.1.1.2",
        "a method of every character that a token may have",
        _options(line="!a-Z0_*.%+`'~k [uri] SIP/2.0", cseq="CSeq: 1 !a-Z0_*.%+`'~k"),
        Want((405, 501), silent=False),
    ),
    Torture(
        "escaped-user",
        "3.1.1.3",
        "%-escapes where they may stand",
        _options(to="To: <sip:%75ser%3Bpar%40x@[host]>", sender="From: <sip:%6bit@example.com>;tag=[tag]"),
        UNDERSTOOD,
    ),
    Torture(
        "escaped-null",
        "3.1.1.4",
        "an escaped NUL in a user name",
        _options(to="To: <sip:nul-%00-l@[host]>"),
        UNDERSTOOD,
    ),
    Torture(
        "percent-method",
        "3.1.1.5",
        "a % that is no escape",
        _options(line="RE%47IST%45R [uri] SIP/2.0", cseq="CSeq: 1 RE%47IST%45R"),
        Want((405, 501), silent=False),
    ),
    Torture("no-space", "3.1.1.6", "no space before <", _options(sender="From: kit<[me]>;tag=[tag]"), UNDERSTOOD),
    Torture(
        "long-values",
        "3.1.1.7",
        "long names, tags, parameters and values",
        _options(
            sender=f'From: "{LONG}" <sip:{LONG}@example.com;{LONG}=x>;tag=[tag]{LONG}',
            call_id=f"Call-ID: [call-id]{LONG}",
            more=f"X-{LONG}: {LONG}\n" + "\n".join(f"Via: SIP/2.0/TCP sip{n}.example.com" for n in range(20)),
        ),
        UNDERSTOOD,
    ),
    Torture(
        "trailing-octets",
        "3.1.1.8",
        "a second request behind the body in one datagram",
        _options() + _options(line="INVITE sip:nobody@example.com SIP/2.0", cseq="CSeq: 1 INVITE"),
        UNDERSTOOD,
        datagram=True,
    ),
    Torture(
        "user-parameters",
        "3.1.1.9",
        "semicolons in the user part",
        _options(to="To: <sip:user;par=u%40x@[host]>"),
        UNDERSTOOD,
    ),
    Torture(
        "transports",
        "3.1.1.10",
        "Via headers of transports that nobody has",
        _options(
            more="Via: SIP/2.0/SCTP t1.example.com;branch=z9hG4bKa\nVia: SIP/2.0/UNKNOWN t2.example.com;branch=z9hG4bKb"
        ),
        UNDERSTOOD,
    ),
    Torture(
        "extra-separators",
        "3.1.2.1",
        "separators with nothing between",
        _options(via="Via: [via];;,"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "short-body",
        "3.1.2.2",
        "Content-Length is larger than the datagram",
        _invite(sdp="Content-Type: application/sdp\nContent-Length: 9999\n\nv=0\no=k 1 1 IN IP4 192.0.2.1\ns=-\n"),
        REFUSED,
        datagram=True,
    ),
    Torture(
        "negative-length", "3.1.2.3", "a negative Content-Length", _options(length="Content-Length: -999"), REFUSED
    ),
    Torture(
        "large-cseq",
        "3.1.2.4",
        "a CSeq of more than 32 bits",
        _options(cseq="CSeq: 36893488147419103232 OPTIONS"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "open-quote",
        "3.1.2.6",
        "a quotation without its end",
        _options(to='To: "Mr. X <[uri]>'),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "bracketed-uri",
        "3.1.2.7",
        "a Request-URI in <>",
        _options(line="OPTIONS <[uri]> SIP/2.0"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "spaced-uri", "3.1.2.8", "a space within the Request-URI", _options(line="OPTIONS [uri]; lr SIP/2.0"), FORGIVEN
    ),
    Torture(
        "spaced-line", "3.1.2.9", "two spaces in the request line", _options(line="OPTIONS  [uri]  SIP/2.0"), FORGIVEN
    ),
    Torture(
        "trailing-space",
        "3.1.2.10",
        "spaces at the end of the request line",
        _options(line="OPTIONS [uri] SIP/2.0  "),
        FORGIVEN,
    ),
    Torture(
        "headers-in-uri",
        "3.1.2.11",
        "headers in the Request-URI",
        _options(line="OPTIONS [uri]?Route=%3Csip:example.com%3E SIP/2.0"),
        FORGIVEN,
    ),
    Torture(
        "bad-date", "3.1.2.12", "a Date that is not GMT", _options(more="Date: Fri, 01 Jan 2010 16:00:00 EST"), FORGIVEN
    ),
    Torture(
        "bare-address",
        "3.1.2.14",
        "spaces within an address without <>",
        _options(to='To: "X" sip:[user]@[host]'),
        FORGIVEN,
    ),
    Torture(
        "bad-name",
        "3.1.2.15",
        "a display name of characters that need quotes",
        _options(sender="From: Bell, Alexander <[me]>;tag=[tag]"),
        FORGIVEN,
    ),
    Torture(
        "bad-version",
        "3.1.2.16",
        "SIP/7.0",
        _options(line="OPTIONS [uri] SIP/7.0", via="Via: [via]"),
        Want((505,)),
        level="SHOULD",
    ),
    Torture(
        "mismatch-known",
        "3.1.2.17",
        "CSeq has another method",
        _options(cseq="CSeq: 1 INVITE"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "mismatch-unknown",
        "3.1.2.18",
        "an unknown method, and another one in CSeq",
        _options(line="NEWMETHOD [uri] SIP/2.0", cseq="CSeq: 1 INVITE"),
        Want((400, 501, 405)),
        level="SHOULD",
    ),
    Torture(
        "no-cookie", "3.2.1", "a branch without a name", _options(via="Via: [sent-by];rport;branch=z9hG4bK"), UNDERSTOOD
    ),
    Torture("no-call-id", "3.3.1", "Call-ID is missing", _options(call_id=""), REFUSED),
    Torture("no-to", "3.3.1", "To is missing", _options(to=""), REFUSED),
    Torture("no-from", "3.3.1", "From is missing", _options(sender=""), REFUSED),
    Torture("no-cseq", "3.3.1", "CSeq is missing", _options(cseq=""), REFUSED),
    Torture(
        "unknown-scheme",
        "3.3.2",
        "a Request-URI of an unknown scheme",
        _options(line="OPTIONS nobodyKnows:x SIP/2.0"),
        Want((416, 400, 404)),
        level="SHOULD",
    ),
    Torture(
        "known-scheme",
        "3.3.3",
        "a Request-URI of another scheme",
        _options(line="OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"),
        Want((416, 400, 404)),
        level="SHOULD",
    ),
    Torture(
        "scheme-in-from",
        "3.3.4",
        "an unknown scheme in From and To",
        _options(to="To: <isbn:2983792873>", sender="From: <http://www.example.com>;tag=[tag]"),
        UNDERSTOOD,
    ),
    Torture(
        "required",
        "3.3.5",
        "Require names what nobody has",
        _options(more="Require: nothingSupportsThis, norThis"),
        Want((420,), silent=False),
    ),
    Torture(
        "unknown-content",
        "3.3.6",
        "a body of an unknown type",
        _invite(sdp="Content-Type: application/unknownformat\nContent-Length: 6\n\nhello\n"),
        Want((415,), silent=False),
        roles=(Role.UAS,),
    ),
    Torture(
        "unknown-credentials",
        "3.3.7",
        "Authorization of an unknown scheme",
        _options(
            line="REGISTER sip:[host] SIP/2.0",
            cseq="CSeq: 1 REGISTER",
            more="Authorization: NoOneKnowsThisScheme opaque-data=here",
        ),
        Want((401, 400, 403, 404, 405, 501, 200)),
    ),
    Torture(
        "two-of-each",
        "3.3.8",
        "Call-ID, From, To and CSeq stand twice",
        _options(more="Call-ID: other\nTo: <sip:x@example.com>\nFrom: <sip:y@example.com>;tag=1\nCSeq: 2 OPTIONS"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "two-lengths",
        "3.3.9",
        "two Content-Length headers that differ",
        _options(more="Content-Length: 13"),
        REFUSED,
        level="SHOULD",
    ),
    Torture(
        "no-hops-left",
        "3.3.11",
        "Max-Forwards is 0",
        _options().replace("Max-Forwards: 70", "Max-Forwards: 0"),
        Want((200, 483, 404, 405, 401, 407, 480, 486), silent=False),
    ),
    Torture(
        "nothing-acceptable",
        "3.3.15",
        "Accept names no description",
        _invite(more="Accept: text/nobodyKnowsThis"),
        Want((406, 488, 200, 486, 480, 401, 407, 404), silent=False),
        roles=(Role.UAS,),
    ),
    Torture(
        "old-style",
        "3.4.1",
        "RFC 2543: no branch, no tag",
        _options(via="Via: [sent-by]", sender="From: <[me]>"),
        UNDERSTOOD,
        level="SHOULD",
    ),
    Torture(
        "v6-uri",
        "4.1",
        "an IPv6 literal in To and From",
        _options(to="To: <sip:user@[2001:db8::10]>", sender="From: <sip:kit@[2001:db8::9:1]>;tag=[tag]"),
        UNDERSTOOD,
        rfc="5118",
    ),
    Torture(
        "v6-no-brackets",
        "4.2",
        "an IPv6 literal without brackets",
        _options(line="OPTIONS sip:2001:db8::10 SIP/2.0"),
        REFUSED,
        rfc="5118",
        level="SHOULD",
    ),
    Torture(
        "v6-port",
        "4.4",
        "an IPv6 literal with a port",
        _options(to="To: <sip:user@[2001:db8::10]:5070>"),
        UNDERSTOOD,
        rfc="5118",
    ),
    Torture(
        "v6-received",
        "4.5",
        "IPv6 in a Via further down, with and without brackets",
        _options(
            more="Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3\n"
            "Via: SIP/2.0/UDP [2001:db8::9:2];received=2001:db8::9:256;branch=z9hG4bKas4"
        ),
        UNDERSTOOD,
        rfc="5118",
    ),
    Torture(
        "v6-mapped",
        "4.9",
        "an IPv4-mapped address",
        _options(to="To: <sip:user@[::ffff:192.0.2.10]>"),
        UNDERSTOOD,
        rfc="5118",
    ),
    Torture(
        "v6-colons",
        "4.10",
        "three colons in an IPv6 literal",
        _options(to="To: <sip:user@[2001:db8:::192.0.2.1]>"),
        FORGIVEN,
        rfc="5118",
    ),
    Torture(
        "v6-description",
        "4.6",
        "a description with IPv6 in it",
        _invite(
            sdp="Content-Type: application/sdp\nContent-Length: [sdp6-length]\n\n[sdp6]",
        ),
        Want(lenient=True, silent=False),
        rfc="5118",
        roles=(Role.UAS,),
    ),
    Torture(
        "junk-before-colon",
        "7.3.1",
        "a NUL-free control before the colon of a header",
        _options(more="Via\x01: SIP/2.0/UDP a.example.com;branch=z9hG4bKx"),
        FORGIVEN,
        rfc="3261",
    ),
    Torture(
        "no-sip",
        "7.1",
        "octets that are no message",
        "\x01\x02hello\nworld\n\n",
        Want((400,)),
        rfc="3261",
        datagram=True,
    ),
    Torture(
        "late-end",
        "7",
        "the empty line is missing",
        _options(length="Content-Length: 0").rstrip("\n"),
        FORGIVEN,
        rfc="3261",
        datagram=True,
    ),
)


def _fill(end: End, text: str) -> bytes:
    target = end.target.uri
    sdp = end.offer()
    sdp6 = "v=0\r\no=k 1 1 IN IP6 2001:db8::20\r\ns=-\r\nc=IN IP6 2001:db8::20\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"
    via = end.via()
    values = {
        "uri": end.uri,
        "user": target.user or "user",
        "host": format_host(target.host) + (f":{target.port}" if target.port else ""),
        "via": via,
        "sent-by": end.sent_by,
        "branch": via.rpartition("=")[2],
        "me": end.me,
        "contact": end.contact,
        "tag": end.tag(),
        "call-id": end.call_id(),
        "sdp6-length": str(len(sdp6)),
    }
    for name, value in values.items():
        text = text.replace(f"[{name}]", value)
    data = text.replace("\n", "\r\n").encode("utf-8", "surrogateescape").replace(b"[sdp6]", sdp6.encode())
    rows = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % len(sdp)
    return data.replace(b"[sdp]", rows + sdp)


def _try(row: Torture, end: End) -> Script:
    data = _fill(end, row.text)
    yield Send(data)
    yield from judge_answer(end, row.want, invite=data.startswith(b"INVITE"))


def judge_answer(end: End, want: Want, *, invite: bool) -> Generator[Step, Heard, None]:
    """Hears the final response to what was sent, and judges it. Ends what an INVITE (`invite`) has begun."""
    answer = yield from end.any_final(end.target.timeout)
    if answer is None:
        if not want.silent:
            said = "the target closed the flow" if end.closed else "no answer"
            raise Failed(f"{said}, where {want} is due")
        yield from end.silence()
        return
    status = answer if isinstance(answer, int) else answer.status
    if isinstance(answer, Response) and invite:
        yield from _end_invite(end, answer)
    if status in want.statuses or (want.lenient and want.statuses):
        return
    if want.lenient and status not in NOT_UNDERSTOOD:
        return
    raise Failed(f"{status if isinstance(answer, int) else named(answer)}, where {want} is due")


def _end_invite(end: End, response: Response) -> Script:
    """ACK, and for a call that was taken a BYE."""
    rows = [("Via", str(response.top_via)), ("Max-Forwards", "70"), ("From", response.headers.get("From") or "")]
    rows += [("To", response.headers.get("To") or ""), ("Call-ID", response.call_id)]
    request = Request("INVITE", end.target.uri, Headers([*rows, ("CSeq", f"{response.cseq.number} INVITE")]))
    try:
        if response.status >= 300:
            yield Send(bytes(end.ack_refusal(request, response)))
        else:
            end.legs.append(leg_of(request, response))
    except ParseError:
        return  # a response that is malformed has no dialog


CASES: Final = tuple(
    Case(
        f"torture-{row.name}",
        f"RFC {row.rfc}",
        row.section,
        row.title,
        row.roles,
        partial(_try, row),
        row.level,
        row.datagram,
    )
    for row in ROWS
)
