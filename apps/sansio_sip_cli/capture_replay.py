"""A capture played to a phone of ours: what it is told of the calls, and what it answers where another phone did.

The phone takes the place of one address of the capture. It hears what was sent there, at the same distances of time,
without a network. Its tags are not those of the phone that was captured, so they are put into what follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from sansio_sip.effects import Address, FlowId, Listen, OpenDatagram, SendDatagram, SendStream
from sansio_sip.errors import ParseError
from sansio_sip.sip.message import Request, Response
from sansio_sip.sip.parser import parse_message
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.softphone.options import AccountOptions

from .build import build_phone
from .capture import Captured, sip_in

__all__ = ["CaptureReport", "play_capture"]

# A capture may go on for hours without SIP; timers of the phone that are due by then are all the same.
MAX_TIMEOUTS = 100_000

PROFILES = (MediaProfile.RTP, MediaProfile.SRTP, MediaProfile.WEBRTC)


@dataclass(slots=True)
class CaptureReport:
    """What came of it.

    Attributes:
        phone: the address whose place our phone took.
        heard: messages that it was told.
        malformed: those of them that are none.
        rows: (seconds, what) in order: what was heard, said, and told to a person.
        theirs, ours: the final status of each request, by Call-ID, CSeq: of the capture, and of our phone.
    """

    phone: Address
    heard: int = 0
    malformed: int = 0
    rows: list[tuple[float, str]] = field(default_factory=list)
    theirs: dict[tuple[str, str], int] = field(default_factory=dict)
    ours: dict[tuple[str, str], int] = field(default_factory=dict)

    def different(self) -> list[str]:
        """The requests that were answered otherwise: another class of status, or none."""
        return [
            f"{cseq} of {call_id}: {status} in the capture, {self.ours.get((call_id, cseq), 'nothing')} from this phone"
            for (call_id, cseq), status in self.theirs.items()
            if self.ours.get((call_id, cseq), 0) // 100 != status // 100
        ]


def play_capture(path: Path, phone: Address | None, *, answer: bool) -> CaptureReport:
    """Plays it. `phone`: whose place ours takes; None: the one that the first INVITE was sent to.

    Raises:
        click.UsageError: the capture cannot be read, or has no SIP for that address.
    """
    packets = list(sip_in(path))
    report = CaptureReport(phone or _called(path, packets))
    if not any(packet.destination == report.phone for packet in packets):
        raise click.UsageError(f"{path} has no SIP to {report.phone}; give --to HOST:PORT of a phone that is in it")
    player = _Player(report, answer)
    for packet in packets:
        player.take(packet, packet.time - packets[0].time)
    return report


def _called(path: Path, packets: list[Captured]) -> Address:
    for packet in packets:
        if isinstance(packet.data, bytes) and packet.data.lstrip().startswith(b"INVITE "):
            return packet.destination
    raise click.UsageError(f"{path} has no INVITE; give --to HOST:PORT of the phone to take the place of")


class _Player:
    def __init__(self, report: CaptureReport, answer: bool) -> None:
        self.report = report
        self._answer = answer
        self._phone = build_phone(seed=0)
        self._listeners: list[FlowId] = []
        self._streams: dict[Address, FlowId] = {}
        self._flow: FlowId | None = None
        self._tags: dict[str, tuple[str, str]] = {}  # by Call-ID: of the captured phone, of ours
        here = report.phone
        self._phone.interfaces_changed((here.host,), now=0.0)
        options = AccountOptions(
            f"sip:phone@{here}", bind=here, profiles=PROFILES, allow_multiple_incoming=True, codecs=("pcmu", "pcma")
        )
        self._phone.connect(self._phone.add_account(options, now=0.0), now=0.0)
        self._drain(0.0)

    def take(self, packet: Captured, now: float) -> None:
        for _ in range(MAX_TIMEOUTS):
            due = self._phone.next_timeout()
            if due is None or due > now:
                break
            self._phone.handle_timeout(now=due)
            self._drain(due)
        if packet.source == self.report.phone:
            self._note_theirs(packet)
        elif packet.destination == self.report.phone:
            self._hear(packet, now)

    def _hear(self, packet: Captured, now: float) -> None:
        self.report.heard += 1
        if isinstance(packet.data, ParseError):
            self.report.malformed += 1
            return
        data, words = packet.data, "what is no SIP message"
        try:
            message = parse_message(data)
        except ParseError:
            self.report.malformed += 1
        else:
            words = _words(message)
            theirs, ours = self._tags.get(message.call_id, ("", ""))
            if theirs and ours:
                data = data.replace(f"tag={theirs}".encode(), f"tag={ours}".encode())
        self.report.rows.append((now, f"#{packet.number} heard {words} from {packet.source}"))
        if packet.stream and self._listeners:
            if packet.source not in self._streams:
                flow = self._streams[packet.source] = FlowId(f"{self._listeners[0]}#{len(self._streams) + 1}")
                self._phone.flow_accepted(self._listeners[0], flow, self.report.phone, packet.source, now=now)
                self._drain(now)
            self._phone.receive_stream(self._streams[packet.source], data, now=now)
        elif self._flow is not None:
            self._phone.receive_datagram(self._flow, data, packet.source, now=now)
        self._drain(now)

    def _note_theirs(self, packet: Captured) -> None:
        for message in _messages(packet.data):
            if isinstance(message, Response):
                self._note(message, self.report.theirs, ours=False)

    def _note(self, response: Response, statuses: dict[tuple[str, str], int], *, ours: bool) -> None:
        if response.status >= 200:
            statuses.setdefault((response.call_id, str(response.cseq)), response.status)
        if response.to.tag is not None:
            theirs, own = self._tags.get(response.call_id, ("", ""))
            self._tags[response.call_id] = (
                (theirs, own or response.to.tag) if ours else (theirs or response.to.tag, own)
            )

    def _drain(self, now: float) -> None:
        for output in self._phone.outputs():
            match output:
                case OpenDatagram(flow, bind):
                    if bind.port == self.report.phone.port and self._flow is None:
                        self._flow = flow
                    self._phone.flow_opened(flow, Address(self.report.phone.host, bind.port or 40_000), now=now)
                case Listen(listener, bind):
                    self._listeners.append(listener)
                    self._phone.flow_opened(listener, bind, now=now)
                case SendDatagram() | SendStream():
                    self._note_ours(bytes(output.data), now)
                case events.IncomingCall():
                    self.report.rows.append((now, f"  told {output.name} {output.call_info.call_uuid}"))
                    if self._answer:
                        self._phone.answer(output.call_info.call_uuid, now=now)
                case (
                    events.CallAnswered()
                    | events.CallTerminated()
                    | events.CallFailed()
                    | events.IncomingCallCanceled()
                ):
                    self.report.rows.append((now, f"  told {output.name} {output.call_info.call_uuid}"))
                case _:
                    pass

    def _note_ours(self, data: bytes, now: float) -> None:
        for message in _messages(data):
            self.report.rows.append((now, f"  said {_words(message)}"))
            if isinstance(message, Response):
                self._note(message, self.report.ours, ours=True)


def _messages(data: Any) -> Iterator[Request | Response]:
    if isinstance(data, bytes) and b"SIP/2.0" in data[:4096]:
        try:
            yield parse_message(data)
        except ParseError:
            return


def _words(message: Request | Response) -> str:
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"
