"""The fuzz target of SIP messages holds over its seeds, so that it is right when a fuzzer runs it."""

import importlib.util
import random
from collections.abc import Callable
from pathlib import Path

from shared import require_shared


def _target() -> Callable[[bytes], None]:
    path = Path(__file__).resolve().parents[2] / "fuzz" / "fuzz_sip_message.py"
    spec = importlib.util.spec_from_file_location("fuzz_sip_message", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    one: Callable[[bytes], None] = module.one
    return one


def test_the_target_holds_over_the_corpus_and_over_cuts_of_it() -> None:
    one = _target()
    draw = random.Random(3261)
    for folder in ("01-rfc4475", "02-rfc5118", "03-sip-messages"):
        for path in sorted(require_shared(f"corpus/{folder}").rglob("*")):
            if path.is_file():
                data = path.read_bytes()[:6_000]
                one(data)
                one(data[: draw.randrange(len(data) + 1)])
    for junk in (b"", b"\0", b"\r\n", b"\r\n\r\n\r", b"SIP/2.0 200 OK\r\n\r\n"):
        one(junk)
