"""SIPp scenarios written in Python: what SIPp receives and says, and what it has seen go over the wire.

A scenario is a list of steps, each a piece of SIPp's XML. As callee it answers with `reply`, as caller it begins with
`invite` and goes on with `request`; both may do the other's in the dialog. The messages that SIPp has logged come back
as `Seen`, in its own words, for whoever wants more than that the order was right.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "CONTACT",
    "DIALOG",
    "OURS",
    "Seen",
    "ack",
    "callee_request",
    "copies",
    "invite",
    "label",
    "pause",
    "read_log",
    "recv",
    "reinvite",
    "remember",
    "reply",
    "request",
    "scenario",
    "sdp",
]

OURS = "sip:alice@[remote_ip]:[remote_port]"
CONTACT = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"
VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK{branch}x[pid]x[call_number]"
FROM = "From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]c[call_number]"


def remember(name: str) -> str:
    """What a callee keeps of a request, to answer it later: `reply(of=name)`."""
    rows = ("Via", "From", "To", "CSeq")
    return "".join(f'<ereg regexp=".*" search_in="hdr" header="{row}:" assign_to="{name}{row}"/>' for row in rows)


# What a callee keeps of the INVITE, to send requests of its own and to answer it once more.
DIALOG = remember("first") + '<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/>'

PCMU = "a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000"


def sdp(
    *,
    version: int = 1,
    direction: str = "sendrecv",
    payloads: str = "0 101",
    maps: str = PCMU,
    more: str = "",
    host: str = "[local_ip]",
) -> str:
    """A description of audio; `more` are lines that are added as they are."""
    lines = [
        *("v=0", f"o=sipp 1 {version} IN IP4 [local_ip]", "s=-", f"c=IN IP4 {host}", "t=0 0"),
        f"m=audio [media_port] RTP/AVP {payloads}",
        *(line for line in (maps, f"a={direction}", more) if line),
    ]
    return "\n".join(lines)


def recv(
    what: str | int,
    action: str = "",
    *,
    timeout: float = 12.0,
    optional: bool = False,
    then: int | None = None,
    late: int | None = None,
) -> str:
    """Waits for a request or a response; anything else ends the run as a failure.

    Args:
        then: the label to go on at. late: the label to go on at where nothing comes in time.
    """
    kind = "response" if isinstance(what, int) else "request"
    more = ' optional="true"' if optional else f' timeout="{int(timeout * 1000)}"'
    more += f' next="{then}"' if then is not None else ""
    more += f' ontimeout="{late}"' if late is not None else ""
    rrs = ' rrs="true"' if what in ("INVITE", 200) else ""
    return f'<recv {kind}="{what}"{more}{rrs}>' + (f"<action>{action}</action>" if action else "") + "</recv>"


def label(number: int) -> str:
    return f'<label id="{number}"/>'


def copies(status: int, last: str, *, late: int | None = None) -> tuple[str, ...]:
    """Any number of copies of a response, then the step `last`; at the label `late` where none comes within 40 s."""
    copy = recv(status, optional=True, then=1, late=late)
    if late is not None:
        copy = copy.replace(' optional="true"', ' optional="true" timeout="40000"')
    return label(1), copy, last


def pause(seconds: float) -> str:
    return f'<pause milliseconds="{int(seconds * 1000)}"/>'


def _send(lines: Iterable[str], body: str, *, again: bool = False) -> str:
    rows = [*lines]
    if body:
        rows.append("Content-Type: application/sdp" if body.startswith("v=0") else "Content-Type: text/plain")
    rows.append("Content-Length: [len]")
    retrans = ' retrans="500"' if again else ""
    return f"<send{retrans}><![CDATA[\n" + "\n".join(rows) + "\n\n" + body + "\n]]></send>"


def reply(
    status: int,
    body: str = "",
    *headers: str,
    tag: str | None = None,
    number: str = "",
    of: str = "",
    contact: str = CONTACT,
    again: bool = False,
) -> str:
    """A response to the last request, or to one that was remembered, whatever has come since.

    Args:
        tag: is added to its To.
        number: another CSeq than that of the last request.
        of: the name of what was remembered; `first` is the INVITE (`DIALOG`).
    """
    cseq = f"CSeq: {number}" if number else "[last_CSeq:]"
    to = f"[last_To:];tag={tag}" if tag else "[last_To:]"
    lines = [f"SIP/2.0 {status} Whatever", "[last_Via:]", "[last_Record-Route:]", "[last_From:]", to, "[last_Call-ID:]"]
    if of:
        cseq = f"CSeq:[${of}CSeq]"
        to = f"To:[${of}To]" + (f";tag={tag}" if tag else "")
        lines = [lines[0], f"Via:[${of}Via]", f"From:[${of}From]", to, "Call-ID: [call_id]"]
    return _send([*lines, cseq, contact, *headers], body, again=again)


def invite(body: str = "", *headers: str, branch: str = "inv", again: bool = True, call_id: str = "[call_id]") -> str:
    """The INVITE of SIPp as caller."""
    return request(
        "INVITE", body, CONTACT, *headers, number=1, branch=branch, to_tag=False, again=again, call_id=call_id
    )


def reinvite(number: int, body: str = "", *headers: str) -> str:
    """A later one; its branch is `re` and its number."""
    return request("INVITE", body, CONTACT, *headers, number=number, branch=f"re{number}")


def request(
    method: str,
    body: str = "",
    *headers: str,
    number: int,
    branch: str,
    to_tag: bool = True,
    to: str = "",
    uri: str = OURS,
    cseq_method: str = "",
    via: str = "",
    call_id: str = "[call_id]",
    again: bool = True,
) -> str:
    """A request of SIPp as caller."""
    lines = [
        f"{method} {uri} SIP/2.0",
        VIA.format(branch=branch) + via,
        FROM,
        f"To: {to}" if to else f"To: <{OURS}>" + ("[peer_tag_param]" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {number} {cseq_method or method}",
        "Max-Forwards: 70",
        *headers,
    ]
    return _send(lines, body, again=again and method != "ACK")


def ack(number: int = 1, branch: str = "ack", body: str = "", **more: str) -> str:
    """The ACK to the last INVITE; to a failure with the branch of that INVITE."""
    return request("ACK", body, number=number, branch=branch, **more)  # type: ignore[arg-type]  # only texts are given


def callee_request(method: str, number: int, body: str = "", *headers: str, tag: str = "s1", branch: str = "") -> str:
    """A request of SIPp as callee, in the dialog that its INVITE has begun (see `DIALOG`)."""
    lines = [
        f"{method} [$contact] SIP/2.0",
        VIA.format(branch=branch or f"{method}{number}"),
        f"From:[$firstTo];tag={tag}",
        "To:[$firstFrom]",
        "Call-ID: [call_id]",
        f"CSeq: {number} {method}",
        "Max-Forwards: 70",
        CONTACT,
        *headers,
    ]
    return _send(lines, body, again=method != "ACK")


def scenario(steps: Iterable[str]) -> str:
    """The whole file."""
    text = "\n".join(steps)
    names = sorted({name for found in re.findall(r'assign_to="([\w,]+)"', text) for name in found.split(",")})
    reference = f'<Reference variables="{",".join(names)}"/>' if names else ""
    head = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<scenario name="row">\n'
    return f"{head}{text}\n{reference}\n</scenario>\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that SIPp has sent or received."""

    sent: bool
    first: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def name(self) -> str:
        """`INVITE`, or `200 INVITE` of a response."""
        if not self.first.startswith("SIP/2.0 "):
            return self.first.partition(" ")[0]
        return f"{self.first.split(' ')[1]} {self.get('CSeq').split()[1]}"

    def get(self, header: str) -> str:
        """The rows of a header, joined by commas."""
        return ", ".join(value for name, value in self.headers if name.lower() == header.lower())

    @property
    def branch(self) -> str:
        found = re.search(r"branch=([^;\s]+)", self.get("Via"))
        return found[1] if found else ""

    @property
    def tag(self) -> str:
        """Of To."""
        found = re.search(r";tag=(\S+)", self.get("To"))
        return found[1] if found else ""


def read_log(path: Path) -> list[Seen]:
    """The messages of SIPp's `-message_file`, in order."""
    text = path.read_text(encoding="latin-1").replace("\r\n", "\n")
    seen = []
    for part in re.split(r"(?m)^-{20,}.*\n", text):
        found = re.match(r"\w+ message (sent|received)[^\n]*:\n\n?", part)
        if found is None:
            continue
        head, _, body = part[found.end() :].lstrip("\n").partition("\n\n")
        first, *rows = head.split("\n")
        headers = [(name.strip(), value.strip()) for name, _, value in (row.partition(":") for row in rows)]
        seen.append(Seen(found[1] == "sent", first, tuple(headers), body.rstrip("\n")))
    return seen
