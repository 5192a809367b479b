"""Two media engines, wire to wire in virtual time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sansio_sip.context import Context, Entropy
from sansio_sip.effects import Address, CloseFlow, FlowId, OpenDatagram, SendDatagram
from sansio_sip.sdp.parser import parse_description
from sansio_sip.softphone.media_plane import LocalDescription, MediaOptions, MediaProfile, SessionId
from sansio_sip_media.engine import MediaEngine
from sansio_sip_media.seeded_crypto import SeededCrypto

S = SessionId("s")
RATE = 16_000
DELAY = 0.02


def noise(seed: int, seconds: float = 4.0) -> np.ndarray:
    """Something like speech: noise of the telephone band, in syllables."""
    count = int(seconds * RATE)
    shaped = np.random.default_rng(seed).normal(size=count)
    spectrum = np.fft.rfft(shaped)
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequencies < 200) | (frequencies > 3000)] = 0
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * np.arange(count) / RATE)
    samples = np.fft.irfft(spectrum, count) * syllables
    return (samples / np.abs(samples).max() * 12_000).astype(np.int16)


@dataclass
class End:
    """One engine, its host, and what it said."""

    name: str
    engine: MediaEngine
    host: str
    ports: int = 40_000
    flows: dict[FlowId, Address] = field(default_factory=dict)
    said: list[Any] = field(default_factory=list)

    def heard(self, kind: type) -> list[Any]:
        return [output for output in self.said if isinstance(output, kind)]


class Wire:
    """Two engines and the network between them.

    `keep` False loses a datagram of an end; `route` says by which of its flows another leaves than it was told to.
    """

    def __init__(self, *options: MediaOptions) -> None:
        self.now = 0.0
        self.keep: Callable[[End, bytes], bool] = lambda end, data: True
        self.route: Callable[[End, FlowId, bytes], FlowId] = lambda end, flow, data: flow
        self.ends = [
            End(name, MediaEngine(Context(Entropy(random.Random(name))), SeededCrypto(name)), host)
            for name, host in (("a", "10.0.0.1"), ("b", "10.0.0.2"))
        ]
        self._air: list[tuple[float, int, Address, Address, bytes]] = []
        self._serial = 0
        for end, option in zip(self.ends, options, strict=True):
            end.engine.open_session(S, option, now=self.now)
            self.drain(end)

    def drain(self, end: End) -> None:
        for output in end.engine.outputs():
            match output:
                case OpenDatagram(flow):
                    end.ports += 1
                    end.flows[flow] = Address(end.host, end.ports)
                    end.engine.flow_opened(flow, end.flows[flow], now=self.now)
                    self.drain(end)
                case SendDatagram(flow, data, destination):
                    if self.keep(end, data):
                        self._serial += 1
                        source = end.flows[self.route(end, flow, data)]
                        self._air.append((self.now + DELAY, self._serial, source, destination, bytes(data)))
                case CloseFlow(flow):
                    del end.flows[flow]
                case _:
                    end.said.append(output)

    def do(self, end: End, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs, now=self.now)
        finally:
            self.drain(end)

    def negotiate(self, direction: str = "sendrecv") -> None:
        """The first end offers, the second answers."""
        a, b = self.ends
        self.do(a, a.engine.create_offer, S, direction=direction)
        offer = parse_description(bytes(a.heard(LocalDescription)[-1].description))
        self.do(b, b.engine.apply_offer, S, offer)
        answers = b.heard(LocalDescription)
        if answers:
            self.do(a, a.engine.apply_answer, S, parse_description(bytes(answers[-1].description)))

    def run(self, seconds: float) -> None:
        end_time = self.now + seconds
        while True:
            timers = [deadline for end in self.ends if (deadline := end.engine.next_timeout()) is not None]
            times = timers + [packet[0] for packet in self._air]
            if not times or min(times) > end_time:
                self.now = end_time
                return
            self.now = max(self.now, min(times))
            for end in self.ends:
                deadline = end.engine.next_timeout()
                if deadline is not None and deadline <= self.now:
                    self.do(end, end.engine.handle_timeout)
            due = [packet for packet in self._air if packet[0] <= self.now]
            self._air = [packet for packet in self._air if packet[0] > self.now]
            for _, _, source, destination, data in due:
                for end in self.ends:
                    for flow, local in list(end.flows.items()):
                        if local == destination:
                            self.do(end, end.engine.receive_datagram, flow, data, source)


def options(profile: MediaProfile, *codecs: str, **more: Any) -> MediaOptions:
    return MediaOptions(profiles=(profile,), codecs=codecs or ("opus", "pcmu", "pcma"), bind=("10.0.0.0",), **more)


def talk(wire: Wire) -> list[np.ndarray]:
    """Each end says its own noise; returns what each has heard."""
    for seed, end in enumerate(wire.ends):
        assert wire.do(end, end.engine.write_audio, S, noise(seed), RATE) == 4 * RATE
    heard: list[list[np.ndarray]] = [[], []]
    for _ in range(50):
        wire.run(0.1)
        for index, end in enumerate(wire.ends):
            heard[index].append(end.engine.read_audio(S, RATE))
    return [np.concatenate(pieces) for pieces in heard]
