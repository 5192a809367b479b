"""Fixtures that put phones on a simulated network. Part of the plugin, so they import the phone when asked for it.

A run is given by its seed, which `--sip-seed` sets: a test that fails says it, and fails again with it.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["sip_phone", "sip_world"]


@pytest.fixture
def sip_world(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes `sansio_sip.simulation.World`s: `sip_world(link=Link(loss=0.1))`; the arguments are those of `World`."""
    from sansio_sip.simulation import World

    def make(**options: Any) -> World:
        seed = options.pop("seed", request.config.getoption("--sip-seed"))
        request.node.add_report_section("setup", "sip_world", f"again: pytest {request.node.nodeid} --sip-seed {seed}")
        return World(seed=seed, **options)

    return make


@pytest.fixture
def sip_phone(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Puts phones into a world: `sip_phone(world, "alice", "10.0.0.1")` gives the `Softphone` and its account.

    It speaks UDP on port 5060 of that address, and WebRTC whose handshake comes from the seed; further arguments are
    those of `AccountOptions`.
    """
    from sansio_sip.context import Context, Entropy
    from sansio_sip.effects import Address
    from sansio_sip.softphone import AccountOptions, Softphone
    from sansio_sip_media.engine import MediaEngine
    from sansio_sip_media.seeded_crypto import SeededCrypto

    def add(world: Any, name: str, address: str, **options: Any) -> tuple[Softphone, Any]:
        seed = f"{request.config.getoption('--sip-seed')} {name}"
        context = Context(Entropy(random.Random(seed)))
        phone = Softphone(context, MediaEngine(context, SeededCrypto(seed)))
        world.add(name, phone, address)
        made = {"bind": Address("0.0.0.0", 5060), **options}
        return phone, world.do(name, phone.add_account, AccountOptions(f"{name}@{address}", **made))

    return add
