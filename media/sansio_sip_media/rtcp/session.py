"""RTCP of one RTP session: when to report, what to report, and what the peer's reports say (RFC 3550 section 6).

Theory of operation
-------------------
    idle --start--> reporting --bye--> ended

While reporting, one timer runs. When it fires, the interval is computed anew from what is known now ("timer
reconsideration", section 6.3.6): either the report goes out, or the timer is moved. The interval is random within half
to one and a half of its mean, so that the two ends of a call do not fall into step; its mean is 5 s at least, half of
that before the first report.

A compound holds a sender report (a receiver report where nothing was sent of late) and our CNAME. The round trip is
measured from the peer's echo of our last sender report.

Where the peer asks for them, VoIP metrics go along (RFC 3611 section 4.7), and a reference time where we send nothing,
so that its echo gives a round trip as well (sections 4.4 and 4.5). The reference time of a peer is echoed always.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sansio_sip.context import Context
from sansio_sip.errors import ParseError
from sansio_sip.machine import Outbox
from sansio_sip.timers import TimerSet
from sansio_sip_media.rtp.packet import RtpPacket
from sansio_sip_media.rtp.receiver import RtpReceiver
from sansio_sip_media.rtp.sender import RtpSender
from sansio_sip_media.rtp.sequence import add_timestamp

from .extended import DelaySinceLast, DelaySinceLastBlock, ReceiverReferenceTime, VoipMetrics, XrBlock
from .packets import (
    Bye,
    ExtendedReport,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
    serialize_compound,
)

__all__ = ["RtcpOutput", "RtcpSession", "SendRtcp", "interval", "middle", "ntp_time"]

# Seconds. "The RECOMMENDED value for a fixed minimum interval is 5 seconds" (section 6.2).
MINIMUM_INTERVAL = 5.0

# Section 6.2: RTCP takes a twentieth of the session's bandwidth, senders a quarter of that where they are few.
RTCP_SHARE = 0.05
SENDERS_SHARE = 0.25

# Bits a second, of a session when nobody says otherwise: one voice stream with its headers. Octets below are with
# the headers of UDP and IPv4, as section 6.2 counts them.
SESSION_BANDWIDTH = 80_000
LOWER_HEADERS = 28

# "e - 3/2", for timer reconsideration lets the mean interval come out shorter (appendix A.7).
COMPENSATION = 2.71828 - 1.5

# Section 6.3.5: a member unheard for five intervals has left; a sender counts as one for two.
MEMBER_INTERVALS = 5
SENDER_INTERVALS = 2

# A call has two ends; a conference may show some contributors. More is an attack, and members beyond are not counted.
MAX_MEMBERS = 64

# A compound that is read: more packets than fit an Ethernet frame are not parsed.
MAX_COMPOUND = 2048

# Seconds from 1900 to 1970 (section 4: NTP time is relative to 0h UTC on 1 January 1900).
NTP_EPOCH = 2_208_988_800


@dataclass(frozen=True, slots=True)
class SendRtcp:
    """Send this compound, protected like the RTP beside it."""

    data: bytes


RtcpOutput: TypeAlias = SendRtcp


class Timer(Enum):
    REPORT = "report"


class State(Enum):
    IDLE = "idle"
    REPORTING = "reporting"
    ENDED = "ended"


def ntp_time(unix_time: float) -> int:
    """Seconds of Unix time as a 64-bit NTP timestamp; it wraps in 2036 as NTP does."""
    return int((unix_time + NTP_EPOCH) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def middle(ntp: int) -> int:
    """ "The middle 32 bits out of 64 in the NTP timestamp" (section 6.4.1): units of 1/65536 s."""
    return (ntp >> 16) & 0xFFFFFFFF


def interval(
    members: int, senders: int, bandwidth: float, average_size: float, *, we_sent: bool, initial: bool, fraction: float
) -> float:
    """`rtcp_interval` of appendix A.7: seconds to the next report.

    Args:
        members, senders: how many there are, ourselves included.
        bandwidth: octets a second for RTCP.
        average_size: of compounds, octets with lower headers.
        we_sent: whether we sent RTP of late.
        initial: whether no report has gone out yet.
        fraction: random, in [0, 1).
    """
    minimum = MINIMUM_INTERVAL / 2 if initial else MINIMUM_INTERVAL
    sharers = members
    if 0 < senders <= members * SENDERS_SHARE:
        if we_sent:
            bandwidth *= SENDERS_SHARE
            sharers = senders
        else:
            bandwidth *= 1 - SENDERS_SHARE
            sharers -= senders
    mean = max(average_size * sharers / bandwidth, minimum) if bandwidth > 0 else minimum
    return mean * (fraction + 0.5) / COMPENSATION


@dataclass(slots=True)
class _Member:
    """When another source was last heard of, and last heard sending."""

    heard_at: float
    sent_at: float | None = None


class RtcpSession:
    """The machine of one session's RTCP.

    Args:
        context: randomness for the interval, Unix time for sender reports.
        ssrc, cname: ours.
        clock_rate: of the RTP clock, Hz.
        sender: its counts and clock are reported.
        receiver: what it counts is reported; assign another when it is replaced.
        metrics: gives our VoIP metrics, where the peer asks for them; it is told the round trip. Assign to it.
        bandwidth: of the RTP session, bits a second.

    Attributes:
        rtt: seconds to the peer and back, None: not measured yet.
        remote_lost, remote_jitter_ms, remote_fraction_lost: what the peer reports of our packets; None: nothing yet.
            The fraction is from 0.0 to 1.0, over its last interval.
        remote_metrics: the VoIP metrics of our packets at the peer, or None.
        remote_cname: the peer's canonical name, or None.
        remote_left: whether the peer said goodbye.
        malformed: datagrams that could not be read.
    """

    def __init__(
        self,
        context: Context,
        ssrc: int,
        cname: str,
        clock_rate: int,
        sender: RtpSender | None = None,
        receiver: RtpReceiver | None = None,
        *,
        bandwidth: float = SESSION_BANDWIDTH,
    ) -> None:
        self.ssrc = ssrc
        self.cname = cname
        self.clock_rate = clock_rate
        self.receiver = receiver
        self.state = State.IDLE
        self.rtt: float | None = None
        self.remote_lost: int | None = None
        self.remote_jitter_ms: float | None = None
        self.remote_fraction_lost: float | None = None
        self.remote_metrics: VoipMetrics | None = None
        self.remote_cname: str | None = None
        self.metrics: Callable[[float | None], VoipMetrics | None] | None = None
        self.remote_left = False
        self.malformed = 0
        self._context = context
        self._sender = sender
        self._bandwidth = bandwidth / 8 * RTCP_SHARE
        self._outbox: Outbox[RtcpOutput] = Outbox()
        self._timers: TimerSet[Timer] = TimerSet()
        self._members: dict[int, _Member] = {}
        self._known_members = 1  # `pmembers` of section 6.3: as of the last computation
        self._average_size = 0.0
        self._initial = True
        self._last_report_at = 0.0
        self._interval = MINIMUM_INTERVAL
        self._loss_report: float | None = None
        self._last_sent: tuple[int, float] | None = None  # RTP timestamp, and when it left
        # Per source: the middle of its NTP time, and its arrival.
        self._last_sender_reports: dict[int, tuple[int, float]] = {}
        self._last_references: dict[int, tuple[int, float]] = {}

    # Commands

    def start(self, *, now: float) -> None:
        """Media can flow: the first report comes after about half of the minimum interval. Later calls do nothing."""
        if self.state is not State.IDLE:
            return
        self.state = State.REPORTING
        self._last_report_at = now
        # Section 6.3.2: "avg_rtcp_size, the probable size of the first RTCP packet that will later be constructed".
        self._average_size = float(len(serialize_compound(self._compound(now))) + LOWER_HEADERS)
        self._interval = self._draw_interval(now)
        self._timers.arm(Timer.REPORT, now + self._interval)

    def sent(self, packet: RtpPacket, *, now: float) -> None:
        """An RTP packet has left: its timestamp and the time anchor the sender reports."""
        self._last_sent = (packet.timestamp, now)

    def bye(self, *, now: float) -> bytes:
        """The last compound, to be sent at once; no report follows it.

        With fewer than 50 members a BYE need not wait (section 6.3.7).
        """
        self.state = State.ENDED
        self._timers.clear()
        return serialize_compound((*self._compound(now), Bye((self.ssrc,))))

    def change_source(self, sender: RtpSender, *, now: float) -> bytes:
        """We go on as another source (RFC 3550 section 8.2): the goodbye of the one before, to be sent at once."""
        goodbye = serialize_compound((*self._compound(now), Bye((self.ssrc,))))
        self.ssrc = sender.ssrc
        self._sender = sender
        self._last_sent = None
        return goodbye

    # Inputs

    def receive(self, data: bytes, *, now: float) -> None:
        """A datagram of RTCP, verified and decrypted."""
        try:
            if len(data) > MAX_COMPOUND:
                raise ParseError(f"RTCP compound of {len(data)} octets")
            packets = parse_compound(data)
        except ParseError:
            self.malformed += 1
            return
        if self._average_size:
            # Section 6.3.3: "avg_rtcp_size = (1/16) * packet_size + (15/16) * avg_rtcp_size"
            self._average_size += (len(data) + LOWER_HEADERS - self._average_size) / 16
        for packet in packets:
            self._receive_packet(packet, now)

    def take_loss_report(self) -> float | None:
        """The share of our packets lost in the peer's last interval, 0.0 to 1.0, once for each report."""
        report, self._loss_report = self._loss_report, None
        return report

    def handle_timeout(self, *, now: float) -> None:
        for _ in self._timers.due(now):
            self._expire(now)

    def next_timeout(self) -> float | None:
        return self._timers.next()

    def poll_output(self) -> RtcpOutput | None:
        return self._outbox.poll()

    def outputs(self) -> Iterator[RtcpOutput]:
        return self._outbox.drain()

    # The timer (section 6.3)

    def _expire(self, now: float) -> None:
        self._forget_silent_members(now)
        due = self._last_report_at + self._draw_interval(now)
        if due > now:
            # "If tp + T is less than or equal to tc, an RTCP packet is transmitted. [...] If tp + T is greater than
            # tc, tn is set to tp + T. No RTCP packet is transmitted." (section 6.3.6)
            self._timers.arm(Timer.REPORT, due)
            return
        data = serialize_compound(self._compound(now))
        self._outbox.put(SendRtcp(data))
        self._average_size += (len(data) + LOWER_HEADERS - self._average_size) / 16
        self._last_report_at = now
        self._initial = False
        self._interval = self._draw_interval(now)
        self._timers.arm(Timer.REPORT, now + self._interval)

    def _draw_interval(self, now: float) -> float:
        senders = sum(member.sent_at is not None for member in self._members.values()) + self._we_sent(now)
        self._known_members = len(self._members) + 1
        return interval(
            self._known_members,
            senders,
            self._bandwidth,
            self._average_size,
            we_sent=self._we_sent(now),
            initial=self._initial,
            fraction=self._context.entropy.fraction("rtcp_interval"),
        )

    def _we_sent(self, now: float) -> bool:
        """ "true if the application has sent data since the 2nd previous RTCP report was transmitted"."""
        return self._last_sent is not None and now - self._last_sent[1] <= SENDER_INTERVALS * self._interval

    def _forget_silent_members(self, now: float) -> None:
        span = max(self._interval, MINIMUM_INTERVAL)
        for ssrc, member in list(self._members.items()):
            if now - member.heard_at > MEMBER_INTERVALS * span:
                self._remove_member(ssrc)
            elif member.sent_at is not None and now - member.sent_at > SENDER_INTERVALS * span:
                member.sent_at = None

    def _remove_member(self, ssrc: int) -> None:
        self._members.pop(ssrc, None)
        self._last_sender_reports.pop(ssrc, None)
        self._last_references.pop(ssrc, None)

    def _shrink(self, now: float) -> None:
        """Members have left: the wait shrinks in proportion ("reverse reconsideration", section 6.3.4)."""
        deadline = self._timers.deadline(Timer.REPORT)
        members = len(self._members) + 1
        if deadline is not None and members < self._known_members:
            share = members / self._known_members
            self._timers.arm(Timer.REPORT, now + share * max(deadline - now, 0.0))
            self._last_report_at = now - share * (now - self._last_report_at)
            self._known_members = members

    # Reports

    def _compound(self, now: float) -> tuple[RtcpPacket, ...]:
        report: RtcpPacket
        blocks = self._blocks(now)
        if self._sender is not None and self._last_sent is not None and self._we_sent(now):
            timestamp, left_at = self._last_sent
            report = SenderReport(
                self.ssrc,
                ntp_time(now + self._context.unix_offset),
                add_timestamp(timestamp, round((now - left_at) * self.clock_rate)),
                self._sender.packets & 0xFFFFFFFF,
                self._sender.octets & 0xFFFFFFFF,
                blocks,
            )
        else:
            report = ReceiverReport(self.ssrc, blocks)
        packets: list[RtcpPacket] = [report, SourceDescription.of_cname(self.ssrc, self.cname)]
        if extended := self._extended_blocks(report, now):
            packets.append(ExtendedReport(self.ssrc, extended))
        return tuple(packets)

    def _extended_blocks(self, report: RtcpPacket, now: float) -> tuple[XrBlock, ...]:
        blocks: list[XrBlock] = []
        if self._last_references:
            delays = [
                DelaySinceLast(ssrc, last, min(int((now - arrived_at) * 65536), 0xFFFFFFFF))
                for ssrc, (last, arrived_at) in self._last_references.items()
            ]
            blocks.append(DelaySinceLastBlock(tuple(delays)))
        if self.metrics is not None:
            if isinstance(report, ReceiverReport):
                blocks.append(ReceiverReferenceTime(ntp_time(now + self._context.unix_offset)))
            if (metrics := self.metrics(self.rtt)) is not None:
                blocks.append(metrics)
        return tuple(blocks)

    def _blocks(self, now: float) -> tuple[ReportBlock, ...]:
        report = self.receiver.take_report() if self.receiver is not None else None
        if report is None:
            return ()
        last, delay = 0, 0
        if report.ssrc in self._last_sender_reports:
            last, arrived_at = self._last_sender_reports[report.ssrc]
            delay = min(int((now - arrived_at) * 65536), 0xFFFFFFFF)
        return (
            ReportBlock(
                report.ssrc,
                report.fraction_lost,
                report.cumulative_lost,
                report.extended_highest_sequence,
                report.jitter,
                last,
                delay,
            ),
        )

    # What the peer says

    def _receive_packet(self, packet: RtcpPacket, now: float) -> None:
        match packet:
            case SenderReport():
                self._hear(packet.ssrc, now, sends=True)
                if packet.ssrc in self._members:
                    self._last_sender_reports[packet.ssrc] = (middle(packet.ntp_time), now)
                self._receive_blocks(packet.reports, now)
            case ReceiverReport():
                self._hear(packet.ssrc, now, sends=False)
                self._receive_blocks(packet.reports, now)
            case SourceDescription():
                for chunk in packet.chunks:
                    if chunk.ssrc != self.ssrc:
                        self.remote_cname = packet.cname(chunk.ssrc) or self.remote_cname
            case Bye():
                for ssrc in packet.sources:
                    if ssrc in self._members:
                        self.remote_left = True
                        self._remove_member(ssrc)
                self._shrink(now)
            case ExtendedReport():
                self._hear(packet.ssrc, now, sends=False)
                for block in packet.blocks:
                    self._receive_block(packet.ssrc, block, now)
            case _:
                pass  # feedback on video: nothing that a call of audio acts upon

    def _receive_block(self, ssrc: int, block: XrBlock, now: float) -> None:
        match block:
            case ReceiverReferenceTime() if ssrc in self._members:
                self._last_references[ssrc] = (middle(block.ntp_time), now)
            case DelaySinceLastBlock():
                for row in block.receivers:
                    if row.ssrc == self.ssrc and row.last_reference:
                        self._measure(row.last_reference, row.delay, now)
            case VoipMetrics() if block.ssrc == self.ssrc:
                self.remote_metrics = block

    def _hear(self, ssrc: int, now: float, *, sends: bool) -> None:
        if ssrc == self.ssrc:
            return
        member = self._members.get(ssrc)
        if member is None:
            if len(self._members) >= MAX_MEMBERS:
                return
            member = self._members[ssrc] = _Member(now)
        member.heard_at = now
        if sends:
            member.sent_at = now
        self.remote_left = False

    def _receive_blocks(self, blocks: tuple[ReportBlock, ...], now: float) -> None:
        for block in blocks:
            if block.ssrc != self.ssrc:
                continue
            self.remote_lost = max(block.cumulative_lost, 0)
            self.remote_fraction_lost = block.fraction_lost / 256
            self._loss_report = self.remote_fraction_lost
            self.remote_jitter_ms = 1000 * block.jitter / self.clock_rate
            if block.last_sender_report:
                self._measure(block.last_sender_report, block.delay_since_last, now)

    def _measure(self, last: int, delay: int, now: float) -> None:
        """ "the round-trip propagation delay to SSRC_r as (A - LSR - DLSR)" (section 6.4.1)"""
        arrival = middle(ntp_time(now + self._context.unix_offset))
        trip = (arrival - last - delay) & 0xFFFFFFFF
        # A peer whose clock runs fast can make it come out just below 0, which wraps.
        self.rtt = trip / 65536 if trip < 1 << 31 else 0.0
