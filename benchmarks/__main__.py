"""`python -m benchmarks [sip] [media]`: prints tables of ratios."""

import sys

from . import media, sip
from .compare import table


def main() -> None:
    chosen = sys.argv[1:] or ["sip", "media"]
    if "sip" in chosen:
        print(table(sip.run()), flush=True)
    if "media" in chosen:
        print()
        print(media.run())


if __name__ == "__main__":
    main()
