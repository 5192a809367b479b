"""`python -m benchmarks [sip] [media] [load]`: prints tables of ratios.

`load` takes a quarter of an hour, so it runs only when asked for.
"""

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
    if "load" in chosen:
        from . import load  # it needs Kamailio, SIPp and what the tests need

        print(load.run(), flush=True)


if __name__ == "__main__":
    main()
