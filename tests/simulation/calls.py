"""One whole call from a seed: login, call, answer, talk, digits, hang-up, close; and what came of it.

A call is judged as a person would: did it ring, could both be heard, did the keys arrive, was it over at both ends. The
harness itself fails on what must never be: an exception, a timer left armed, a call with two ends or none.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from simulation.phones import SIP_UDP, Network, pitch, tone

from sansio_sip.simulation import Link
from sansio_sip.softphone import events
from sansio_sip.softphone.media_plane import MediaProfile
from sansio_sip.trace import TraceWriter

__all__ = [
    "DIGITS",
    "LOSSY",
    "LOSSY_20",
    "LOSSY_30",
    "PERFECT",
    "Outcome",
    "Plan",
    "profile_of",
    "rates",
    "run_call",
    "run_calls",
]

PERFECT = Link(delay=0.020)
LOSSY = Link(delay=0.020, jitter=0.020, loss=0.10, reordering=0.10)
LOSSY_20 = Link(delay=0.020, jitter=0.020, loss=0.20, reordering=0.10, duplication=0.10)
LOSSY_30 = Link(delay=0.020, jitter=0.020, loss=0.30, reordering=0.10)

DIGITS = "1234#"
ALICE_HZ, BOB_HZ = 440.0, 800.0

# Seconds: a call lasts ten; a set-up over a bad line may take as long as a person would wait, and then its media again.
CALL, PATIENCE = 10.0, 40.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. Half of the seeds have WebRTC, half plain RTP; caller and callee take turns at hanging up.

    `profile` is for a plan that wants another one than its seed's.
    """

    seed: int
    link: Link = PERFECT
    sip: str = SIP_UDP
    codec: str = "pcmu"
    seconds: float = CALL
    profile: MediaProfile | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far a call came, `media_after` in seconds from the answer to audio both ways, how long all of it was by the
    clock of the world (`seconds`), and the hash of the run."""

    seed: int
    profile: str
    logged_in: bool = False
    set_up: bool = False
    talked: bool = False
    digits: bool = False
    hung_up: bool = False
    media_after: float = 0.0
    seconds: float = 0.0
    hash: str = ""

    @property
    def good(self) -> bool:
        return self.logged_in and self.set_up and self.talked and self.digits and self.hung_up


def profile_of(seed: int) -> MediaProfile:
    return MediaProfile.WEBRTC if seed % 2 else MediaProfile.RTP


def run_call(plan: Plan, trace: TraceWriter | None = None) -> Outcome:
    """Runs one call to its end; raises what must never happen."""
    seed, profile = plan.seed, plan.profile or profile_of(plan.seed)
    network = Network(seed, link=plan.link, sip=plan.sip, trace=trace)
    alice, bob = (network.phone(name, profile, codecs=(plan.codec,)) for name in ("alice", "bob"))
    network.pass_time(0.1)
    logged_in = bob.login() and alice.login()
    set_up = talked = digits = hung_up = False
    media_after = 0.0
    if logged_in:
        alice.call("bob")
        if network.wait(lambda: bool(bob.calls) or not alice.calls, PATIENCE) and bob.calls:
            network.pass_time(0.5)
            if bob.calls:
                bob.answer()
        network.wait(lambda: bool(alice.said(events.CallAnswered)) or not alice.calls, PATIENCE)
        answered = network.world.time
        both_have_media = network.wait(
            lambda: (alice.has_media and bob.has_media) or not (alice.calls and bob.calls), PATIENCE
        )
        set_up = both_have_media and bool(alice.calls and bob.calls and alice.said(events.CallAnswered))
        media_after = network.world.time - answered
    if set_up:
        alice.press(DIGITS)
        alice.say(tone(ALICE_HZ, plan.seconds))
        bob.say(tone(BOB_HZ, plan.seconds))
        network.pass_time(plan.seconds)
        talked = abs(pitch(bob.everything_heard()) - ALICE_HZ) < 5 and abs(pitch(alice.everything_heard()) - BOB_HZ) < 5
        digits = bob.digits == DIGITS
        first = bob if seed % 4 < 2 else alice
        if first.calls:
            first.hang_up()
        hung_up = network.wait(lambda: not alice.calls and not bob.calls, PATIENCE)
    network.close()
    world = network.world
    return Outcome(
        seed, profile.name, logged_in, set_up, talked, digits, hung_up, media_after, world.time, hash=world.hash()
    )


def run_calls(plans: Iterable[Plan], *, processes: int = 1) -> list[Outcome]:
    """Runs many, on several processors if asked; the outcomes in the order of the plans."""
    if processes == 1:
        return [run_call(plan) for plan in plans]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return list(pool.map(run_call, plans, chunksize=4))


def rates(outcomes: Iterable[Outcome]) -> str:
    """For people: how many calls came how far, by profile."""
    outcomes = list(outcomes)
    lines = []
    for profile in sorted({outcome.profile for outcome in outcomes}):
        rows = [outcome for outcome in outcomes if outcome.profile == profile]
        parts = [f"{profile:<6} {len(rows):4d} calls"]
        for name in ("logged_in", "set_up", "talked", "digits", "hung_up", "good"):
            parts.append(f"{name} {sum(getattr(row, name) for row in rows) / len(rows):.1%}")
        waits = sorted(row.media_after for row in rows if row.set_up)
        if waits:
            parts.append(f"media after {waits[len(waits) // 2]:.1f} s (median), {waits[-1]:.1f} s (longest)")
        lines.append(", ".join(parts))
    return "\n".join(lines)
