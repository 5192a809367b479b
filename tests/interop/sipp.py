"""Scenarios of SIPp, put together from the messages of RFC 3261, and the command that runs one."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from interop.peers import require

__all__ = ["answers", "calls", "registers", "sipp"]

# What SIPp fills in itself stands in brackets; the caller is `-key from`, the callee `-s`, their domain `-key domain`.
VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport"
CALLER = "From: <sip:[from]@[domain]>;tag=[pid]caller[call_number]"
CALLEE = "To: <sip:[service]@[domain]>"
CONTACT = "Contact: <sip:[from]@[local_ip]:[local_port];transport=[transport]>"
ANSWERED = ("[last_Via:]", "[last_Record-Route:]", "[last_From:]", "[last_Call-ID:]", "[last_CSeq:]")
ANSWERER = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"


def audio(port: str) -> tuple[str, ...]:
    """One stream of PCMU with DTMF, as a session description."""
    return (
        "v=0",
        "o=sipp 1 1 IN IP[local_ip_type] [local_ip]",
        "s=-",
        "c=IN IP[media_ip_type] [media_ip]",
        "t=0 0",
        f"m=audio [{port}] RTP/AVP 0 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
    )


def send(start: str, *headers: str, body: Sequence[str] = (), repeated: bool = True) -> str:
    """One message; `repeated` until it is answered, where the transport may lose it."""
    rest = ("Content-Type: application/sdp", "Content-Length: [len]", "", *body) if body else ("Content-Length: 0", "")
    text = "\n".join((start, *headers, *rest, ""))
    attributes = ' retrans="500"' if repeated else ""
    return f"<send{attributes}><![CDATA[\n{text}\n]]></send>"


def request(method: str, number: str, *headers: str, uri: str, to: str, body: Sequence[str] = ()) -> str:
    always = (VIA, "Max-Forwards: 70", CALLER, to, "Call-ID: [call_id]", f"CSeq: {number} {method}")
    return send(f"{method} {uri} SIP/2.0", *always, *headers, body=body, repeated=method != "ACK")


def receive(**attributes: str) -> str:
    """What is waited for; `next` names the label where it goes on from there."""
    return f"<recv {' '.join(f'{name}={quoteattr(value)}' for name, value in attributes.items())}/>"


def optional(*statuses: str) -> list[str]:
    return [receive(response=status, optional="true") for status in statuses]


def scenario(*steps: str) -> str:
    return "\n".join(('<?xml version="1.0"?>', '<scenario name="call">', *steps, "</scenario>", ""))


def registers() -> str:
    """`-s` registers with `-au` and `-ap` for the port `-key contact_port`."""
    user = "sip:[service]@[domain]"

    def register(number: str, *more: str) -> str:
        contact = "Contact: <sip:[service]@[local_ip]:[contact_port];transport=[transport]>"
        always = (VIA, "Max-Forwards: 70", f"From: <{user}>;tag=[call_number]", f"To: <{user}>", "Call-ID: [call_id]")
        numbered = (*always, f"CSeq: {number} REGISTER", contact, "Expires: 300", *more)
        return send("REGISTER sip:[domain] SIP/2.0", *numbered)

    challenged = [*optional("100"), receive(response="401", auth="true")]
    return scenario(
        register("1"), *challenged, register("2", "[authentication]"), *optional("100"), receive(response="200")
    )


def calls(*, stream: str = "") -> str:
    """A call that answers one challenge, lasts for `-d` and is hung up; `stream`: raw mu-law that it says in a loop."""
    uri, offer = "sip:[service]@[domain]", audio("rtpstream_audio_port" if stream else "media_port")
    accepted = {"response": "200", "rrs": "true", "rtd": "true"}
    to = f"{CALLEE}[peer_tag_param]"
    refused = send(
        f"ACK {uri} SIP/2.0",
        VIA.replace("[branch]", "[branch-1]"),  # RFC 3261 section 17.1.1.3: of the INVITE that was refused
        "Max-Forwards: 70",
        CALLER,
        to,
        "Call-ID: [call_id]",
        "CSeq: 1 ACK",
        repeated=False,
    )
    return scenario(
        request("INVITE", "1", CONTACT, uri=uri, to=CALLEE, body=offer),
        receive(response="407", auth="true", optional="true", next="1"),
        *optional("100", "180", "183"),
        receive(**accepted, next="2"),
        '<label id="1"/>',
        refused,
        request("INVITE", "2", CONTACT, "[authentication]", uri=uri, to=CALLEE, body=offer),
        *optional("100", "180", "183"),
        receive(**accepted),
        '<label id="2"/>',
        request("ACK", "[cseq]", "[routes]", uri="[next_url]", to=to),
        *([f"<nop><action><exec rtp_stream={quoteattr(f'{stream},-1,0')}/></action></nop>"] if stream else []),
        "<pause/>",
        request("BYE", "9", "[routes]", uri="[next_url]", to=to),
        receive(response="200"),
    )


def answers() -> str:
    """Rings for 50 ms, answers, takes INFO, and lets the caller hang up; with `-rtp_echo` it says what it hears."""
    tagged = "[last_To:];tag=[pid]callee[call_number]"
    confirmed = send("SIP/2.0 200 OK", *ANSWERED, "[last_To:]", repeated=False)
    return scenario(
        receive(request="INVITE", rrs="true"),
        send("SIP/2.0 180 Ringing", *ANSWERED, tagged, ANSWERER, repeated=False),
        '<pause milliseconds="50"/>',
        send("SIP/2.0 200 OK", *ANSWERED, tagged, ANSWERER, body=audio("media_port")),
        receive(request="ACK"),
        '<label id="1"/>',
        receive(request="INFO", optional="true", next="2"),
        receive(request="BYE", next="3"),
        '<label id="2"/>',
        confirmed.replace("<send", '<send next="1"', 1),
        '<label id="3"/>',
        confirmed,
        '<timewait milliseconds="200"/>',
    )


def sipp(folder: Path, name: str, text: str, *arguments: str, calls: int = 1) -> list[str]:
    """The command for a scenario, which is written into `folder`; SIPp says there what went wrong."""
    require("sipp")
    path = folder / f"{name}.xml"
    path.write_text(text)
    common = ["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", str(calls), "-nostdin", "-trace_err"]
    return ["sipp", *arguments, "-sf", str(path), *common]
