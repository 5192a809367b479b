"""Random commands to three phones from a seed, and what must hold whatever they are and whatever the network does.

Two phones and a third, to which calls are transferred, speak through the server with plain RTP. A run gives them
commands at random moments: call, answer, reject, cancel, hold, resume, transfer, hang up, drop the flow. Then everybody
is left alone until the ends agree on which calls are up, hangs up, and waits until nothing is left of any call. The run
raises what must never be: an exception, a call that one end has and the other has not, a call with two ends or none, a
row left in a table, a timer left armed.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from simulation.phones import SIP_UDP, SIP_WS, Network, Phone

from sansio_sip.errors import LocalProtocolError
from sansio_sip.simulation import Link
from sansio_sip.sip.policy import CallPolicy, Consent
from sansio_sip.softphone import events
from sansio_sip.softphone.call import Call
from sansio_sip.softphone.call_info import CallDirection, CallState

__all__ = ["LINKS", "Report", "loss_of", "run_commands", "run_many", "summary"]

LINKS = {
    0: Link(delay=0.020),
    10: Link(delay=0.020, jitter=0.020, loss=0.10, reordering=0.10),
    30: Link(delay=0.020, jitter=0.020, loss=0.30, reordering=0.10),
}

COMMANDS = 30

# Seconds between two commands: within one flight of messages, within a transaction, and long enough to settle.
PAUSES = (0.0, 0.01, 0.05, 0.2, 0.5, 0.5, 1.0, 2.0)

# Seconds, the least that RFC 4028 allows: a call whose far end is gone without a word is over after so long.
SESSION_EXPIRES = 90

# Seconds until both ends of each call know the same of it: a session that expires, and a transaction in which it shows.
SETTLING = 2 * SESSION_EXPIRES + 40.0

# Seconds until nothing is left of calls that are over. Where the ends of a call that rings have lost their flows, the
# proxy waits for Timer C (RFC 3261 section 16.6), which each 180 has begin anew, then 64*T1 for the answer to its
# CANCEL, and as long for an ACK.
DRAINING = 600.0

MAX_CALLS = 2  # of a phone, so that most commands find a call


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run. `done` and `refused` count commands by name, `ends` how calls ended at either end."""

    seed: int
    loss: int
    sip: str
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    fault: str = ""


class Run:
    """The phones, and commands for them."""

    def __init__(self, seed: int, loss: int) -> None:
        self.random = random.Random(f"commands {seed}")
        self.loss = loss
        self.sip = SIP_WS if self.random.random() < 0.3 else SIP_UDP
        self.network = Network(seed, link=LINKS[loss], sip=self.sip)
        policy = CallPolicy(refer=Consent.ALLOW, replaces=Consent.ALLOW)
        self.phones = [
            self.network.phone(
                name, policy=policy, session_expires=SESSION_EXPIRES, allow_multiple_incoming=True, expires=600
            )
            for name in ("alice", "bob", "carol")
        ]
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    # Commands

    def command(self) -> None:
        """One command of somebody, of those that find a call where they need one."""
        phone = self.random.choice(self.phones)
        machine, rows = phone.machine, self.rows(phone)
        others = [each.name for each in self.phones if each is not phone]
        ringing, placed, up = self.ringing(rows), self.placed(rows), self.up(rows)
        choices: list[tuple[int, str, Callable[..., Any], list[Call], tuple[Any, ...]]] = [
            (4, "answer", machine.answer, ringing, ()),
            (1, "reject", machine.reject, ringing, ()),
            (1, "cancel", machine.hangup, placed, ()),
            (3, "hold", machine.hold, up, ()),
            (3, "resume", machine.resume, up, ()),
            (2, "transfer", machine.transfer, up, (self.random.choice(others),)),
            (4, "attended transfer", machine.attended_transfer, up[:1], tuple(row.uuid for row in up[1:2])),
            (1, "hang up", machine.hangup, rows, ()),
        ]
        choices = [each for each in choices if each[3] and (each[4] or each[1] != "attended transfer")]
        calls = 6 if len(rows) < MAX_CALLS else 0
        weights = [1, calls, *(weight for weight, *_ in choices)]
        (pick,) = self.random.choices(range(len(weights)), weights)
        if pick == 0:
            self.drop_flow(phone)
        elif pick == 1:
            self.do("call", phone, machine.call, phone.account, self.random.choice(others))
        else:
            _, what, method, found, args = choices[pick - 2]
            self.do(what, phone, method, self.random.choice(found).uuid, *args)

    def do(self, what: str, phone: Phone, method: Callable[..., Any], *args: Any) -> None:
        said = len(self.network.world.log)
        try:
            phone.do(method, *args)
            self.done[what] += 1
        except LocalProtocolError:
            assert len(self.network.world.log) == said, f"{what} was refused, and something has been said"
            self.refused[what] += 1

    def drop_flow(self, phone: Phone) -> None:
        """The signalling flow breaks: a stream at both ends, a socket at ours, as when its interface goes."""
        world, host = self.network.world, self.network.world.hosts[phone.name]
        if self.sip == SIP_WS:
            world.break_streams(phone.name)
        else:
            hop = phone.machine._accounts[phone.account].hop
            if hop is None or hop.flow not in host.datagrams:
                return
            world._bound.pop(host.datagrams.pop(hop.flow))
            world.do(phone.name, phone.machine.flow_lost, hop.flow, "the interface has gone")
        self.done["drop the flow"] += 1

    # Calls

    @staticmethod
    def rows(phone: Phone) -> list[Call]:
        return list(phone.machine._calls._calls)

    @staticmethod
    def up(rows: Iterable[Call]) -> list[Call]:
        return [row for row in rows if row.state is CallState.ANSWERED]

    @staticmethod
    def ringing(rows: Iterable[Call]) -> list[Call]:
        return [row for row in rows if row.direction is CallDirection.INCOMING and row.state is CallState.RINGING]

    @staticmethod
    def placed(rows: Iterable[Call]) -> list[Call]:
        return [row for row in rows if row.direction is CallDirection.OUTGOING and row.state is not CallState.ANSWERED]

    # What must hold

    def disagreement(self) -> str:
        """The calls that are up at one end and not at the other; empty where there is none."""
        # Who is told to call himself has one call of one Call-ID at each of its ends; the second is numbered.
        rows = [row for phone in self.phones for row in self.up(self.rows(phone))]
        ends = Counter((row.sip or "").partition(";")[0] for row in rows)
        return ", ".join(f"{call} is up at {count} end" for call, count in ends.items() if count != 2)

    def leftovers(self) -> str:
        """What phones and server still hold of calls that are over; empty where they hold nothing."""
        found = []
        for phone in self.phones:
            machine, agent = phone.machine, phone.machine._accounts[phone.account].user_agent
            tables: dict[str, Sized] = {
                "calls": machine._calls._calls._by_sip,
                "media sessions": machine._calls._calls._by_session,
                "sessions": agent._sessions._rows,
                "dialogs": agent._sessions._by_tag,
                "peers": agent._sessions.peers,
                "requests": agent._departures._rows,
                "transactions": agent._layer._keys,
                "queries": machine._queries,
            }
            found += [f"{phone.name}: {len(rows)} {name}" for name, rows in tables.items() if rows]
            media = [flow for flow, owner in machine._owners.items() if owner == "calls"]
            found += [f"{phone.name}: media flow {flow}" for flow in media]
        server = self.network.server
        tables = {
            "transactions": server._layer._keys,
            "forks": server._proxy._forks,
            "branches": server._proxy._branches,
        }
        found += [f"server: {len(rows)} {name}" for name, rows in tables.items() if rows]
        return "; ".join(found)

    # A run

    def begin(self) -> None:
        self.network.pass_time(0.1)
        for phone in self.phones:
            assert phone.login(), f"{phone.name} could not log in"

    def play(self) -> None:
        for _ in range(COMMANDS):
            self.command()
            self.network.pass_time(self.random.choice(PAUSES))

    def end(self) -> None:
        self.network.wait(self.is_settled, SETTLING)
        assert not self.unsettled(), f"neither up nor over after {SETTLING} s: {self.unsettled()}"
        assert not self.disagreement(), f"stuck after {SETTLING} s: {self.disagreement()}"
        self.hang_up_all()
        assert not any(phone.calls for phone in self.phones), "a call outlives its hang-up"
        assert self.network.wait(self.is_empty, DRAINING), f"left after {DRAINING} s: {self.leftovers()}"

    def hang_up_all(self) -> None:
        for phone in self.phones:
            for call in phone.calls:
                phone.hang_up(call)

    def is_empty(self) -> bool:
        """Whether nothing is left. What still rings, because its caller's flow broke under the CANCEL, is refused."""
        self.hang_up_all()
        return not self.leftovers()

    def is_settled(self) -> bool:
        """Whether each call is up at both ends. What is on its way to be a call, by a REFER too, is hung up."""
        for phone, row in self.unsettled():
            phone.hang_up(row.uuid)
        return not self.unsettled() and not self.disagreement()

    def unsettled(self) -> list[tuple[Phone, Call]]:
        return [
            (phone, row) for phone in self.phones for row in self.rows(phone) if row.state is not CallState.ANSWERED
        ]

    def report(self, seed: int, fault: str = "") -> Report:
        ends: Counter[str] = Counter()
        for phone in self.phones:
            ends.update(type(event).__name__ for event in phone.said(*_ENDS))
        answered = sum(len(phone.said(events.CallAnswered)) for phone in self.phones)
        return Report(seed, self.loss, self.sip.partition(":")[0], self.done, self.refused, ends, answered, fault)


_ENDS = (events.CallTerminated, events.CallFailed, events.IncomingCallCanceled)


def run_commands(seed: int, loss: int) -> Report:
    """One run; raises what must never be."""
    run = Run(seed, loss)
    run.begin()
    run.play()
    run.end()
    run.network.close()
    return run.report(seed)


def loss_of(seed: int) -> int:
    """Per cent: a third of the seeds each."""
    return tuple(LINKS)[seed % len(LINKS)]


def _judged(seed: int) -> Report:
    loss = loss_of(seed)
    try:
        return run_commands(seed, loss)
    except Exception as error:  # whatever it is, it is this seed's fault, and the others go on
        return Report(seed, loss, "", fault=f"{type(error).__name__}: {error}"[:600])


def run_many(seeds: Iterable[int], *, processes: int = 1) -> list[Report]:
    """Many, on several processors if asked; a run that failed is a report with its `fault`."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_judged, seeds, chunksize=8))


def summary(reports: Sequence[Report]) -> str:
    """For people: how many runs at each rate of loss, which commands were done, how calls ended, what went wrong."""
    lines = []
    for loss in LINKS:
        rows = [report for report in reports if report.loss == loss]
        done, ends = Counter[str](), Counter[str]()
        for report in rows:
            done.update(report.done)
            ends.update(report.ends)
        refused, answered = sum(row.refused.total() for row in rows), sum(row.answered for row in rows)
        lines += [
            f"{loss} % loss: {len(rows)} seeds, {sum(bool(row.fault) for row in rows)} faults",
            f"  {done.total()} commands done, {refused} refused: {_counts(done)}",
            f"  answered at an end: {answered}; ended: {_counts(ends)}",
        ]
    lines += [f"seed {report.seed}: {report.fault}" for report in reports if report.fault]
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
