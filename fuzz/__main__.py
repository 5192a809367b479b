"""Runs a target under atheris: `python -m fuzz uri [corpus...] [options of libFuzzer]`, or `python -m fuzz --list`.

Only our own modules are instrumented: the whole interpreter takes minutes to, and shows nothing of us.
"""

import sys
from importlib import import_module
from pathlib import Path

OURS = ["sansio_sip", "sansio_sip_media"]


def main() -> None:
    targets = sorted(path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py"))
    if sys.argv[1:] == ["--list"]:
        print("\n".join(targets))
        return
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        sys.exit(f"usage: python -m fuzz TARGET [corpus...] [options of libFuzzer]; targets: {', '.join(targets)}")
    import atheris

    with atheris.instrument_imports(include=OURS):
        one = import_module(f"fuzz.fuzz_{sys.argv[1]}").one
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
