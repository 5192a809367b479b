"""The explorations with larger bounds: `make model`. Each tells how many states it has seen, and what held in all."""

import time
from collections.abc import Callable

from model.ice_conflict import explore_conflict
from model.offer_answer_pair import explore_glare
from model.registration import explore_registration
from model.transaction_pair import explore_pair

from sansio_sip.simulation.explore import Exploration

LARGE = 20_000

EXPLORATIONS: tuple[Callable[[], Exploration], ...] = (
    lambda: explore_pair("OPTIONS and 200", "OPTIONS", (200,), capacity=2, losses=1, doubles=1, max_states=LARGE),
    lambda: explore_pair(
        "INVITE, 180 and 200", "INVITE", (180, 200), capacity=1, losses=1, doubles=0, max_states=LARGE
    ),
    lambda: explore_pair("INVITE and 486", "INVITE", (486,), capacity=2, losses=1, doubles=0, max_states=LARGE),
    lambda: explore_pair(
        "CANCEL against 200", "INVITE", (180, 200), capacity=2, losses=0, doubles=0, cancels=True, max_states=LARGE
    ),
    lambda: explore_glare(2),
    lambda: explore_conflict(True, losses=1, max_depth=8),
    lambda: explore_conflict(False, losses=1, max_depth=8),
    lambda: explore_registration(cuts=2, changes=2, losses=1, max_depth=8),
)

if __name__ == "__main__":
    for run in EXPLORATIONS:
        began = time.perf_counter()
        done = run()
        print(f"{done}\n  {time.perf_counter() - began:.0f} s", flush=True)
