"""A link of the simulated network: what becomes of each packet between two hosts.

Every draw comes from (seed, link, number of the packet on that link) and from nothing else. So one packet more on one
link changes nothing on any other, and a failing seed stays failing while it is shrunk.
"""

from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["Link", "LinkState"]


@dataclass(frozen=True, slots=True)
class Link:
    """How one direction between two hosts behaves. Times in seconds, chances from 0 to 1.

    Attributes:
        delay: of every packet. jitter: up to this much more, evenly drawn for each; it reorders.
        loss: chance that a packet is lost, each for itself.
        burst: mean length in packets of the bad periods of a Gilbert-Elliott channel; 0 loses packets one by one. The
            share of packets lost is `loss` in either case.
        duplication: chance that a packet arrives twice, the second within another `jitter` or 10 ms.
        reordering: chance that a packet is held back by `reorder_delay`.
        rate: octets a second, 0 for no limit; what waits longer than `queue` seconds for its turn is lost.
    """

    delay: float = 0.020
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    reorder_delay: float = 0.060
    rate: float = 0.0
    queue: float = 0.5

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "reordering"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed are chances from 0 to 1")
        for name in ("delay", "jitter", "burst", "reorder_delay", "rate", "queue"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}: allowed is 0 or more")


class LinkState:
    """One direction between two hosts while a world runs.

    Args:
        seed: of the world.
        name: of the link, such as `10.0.0.1>10.0.0.2`.
    """

    # The first retransmission of TCP comes after this long, each later one after twice as long (RFC 6298).
    STREAM_RTO = 0.2

    def __init__(self, seed: int, name: str, link: Link) -> None:
        self.link = link
        self.cut = False
        self.sent = 0
        self.lost = 0
        self._seed = seed
        self._name = name
        self._free_at = 0.0
        self._bad = False

    def datagram(self, size: int, now: float) -> tuple[float, ...]:
        """When a datagram sent now arrives: never, once, or twice."""
        chance = self._draws()
        link = self.link
        if self.cut or self._lose(chance[0], chance[1]):
            self.lost += 1
            return ()
        wait = self._wait(size, now)
        if wait > link.queue:
            self.lost += 1
            return ()
        arrival = now + wait + link.delay + link.jitter * chance[2]
        if chance[3] < link.reordering:
            arrival += link.reorder_delay
        if chance[4] < link.duplication:
            return (arrival, arrival + (link.jitter or 0.010) * chance[5])
        return (arrival,)

    def segment(self, size: int, now: float) -> float | None:
        """When octets of a stream sent now arrive: TCP makes of loss a delay. None while the link is cut."""
        if self.cut:
            return None
        wait, delay = self._wait(size, now), 0.0
        rto = self.STREAM_RTO
        while True:
            chance = self._draws()
            if not self._lose(chance[0], chance[1]) or delay > 60:
                return now + wait + delay + self.link.delay + self.link.jitter * chance[2]
            self.lost += 1
            delay += rto
            rto *= 2

    def _lose(self, chance: float, turn: float) -> bool:
        link = self.link
        if not link.burst:
            return chance < link.loss
        # Gilbert-Elliott: all is lost in the bad state, nothing in the good one. Leaving the bad state with chance
        # 1/burst, and entering it so often that the share of bad packets is `loss`.
        leave = 1 / link.burst
        enter = leave * link.loss / (1 - link.loss) if link.loss < 1 else 1.0
        self._bad = turn >= leave if self._bad else turn < enter
        return self._bad

    def _wait(self, size: int, now: float) -> float:
        if not self.link.rate:
            return 0.0
        start = max(now, self._free_at)
        if start - now <= self.link.queue:
            self._free_at = start + size / self.link.rate
        return start - now

    def _draws(self) -> tuple[float, ...]:
        """Six numbers in [0, 1) for the next packet."""
        digest = blake2b(f"{self._seed}|{self._name}|{self.sent}".encode(), digest_size=24).digest()
        self.sent += 1
        return tuple(int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in range(0, 24, 4))
