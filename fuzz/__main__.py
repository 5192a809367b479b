"""The fuzz targets under atheris.

    python -m fuzz TARGET [corpus...] [options of libFuzzer]     one target
    python -m fuzz --list                                        their names
    python -m fuzz --plant FOLDER                                a corpus of seeds for each, in FOLDER/TARGET
    python -m fuzz --campaign FOLDER [--seconds N]               all of them in turn, from where FOLDER's logs stand
    python -m fuzz --report FOLDER                               what the campaign in FOLDER has come to

Only our own modules are instrumented: the whole interpreter takes minutes to, and shows nothing of us.
"""

import argparse
import gc
import sys
from importlib import import_module
from pathlib import Path

from fuzz.campaign import TARGETS, Campaign
from fuzz.report import report
from fuzz.seeds import plant

OURS = ["sansio_sip", "sansio_sip_media"]


def run(target: str, arguments: list[str]) -> None:
    """Hands the process to libFuzzer, which ends it."""
    import atheris

    with atheris.instrument_imports(include=OURS):
        one = import_module(f"fuzz.fuzz_{target}").one
    gc.collect()
    gc.freeze()  # what was imported stays: no collection during the runs need look at it again
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in TARGETS:
        run(sys.argv[1], sys.argv[2:])
    parser = argparse.ArgumentParser(
        "python -m fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--list", action="store_true", help="the names of the targets")
    action.add_argument("--plant", metavar="FOLDER", type=Path, help="write the seeds of each into FOLDER/TARGET")
    action.add_argument("--campaign", metavar="FOLDER", type=Path, help="run all targets in turn; FOLDER keeps all")
    action.add_argument("--report", metavar="FOLDER", type=Path, help="the table of a campaign, in Markdown")
    parser.add_argument("--seconds", type=float, default=3600, help="how long a campaign goes on (%(default)s)")
    parser.add_argument("--turn", type=int, default=240, help="seconds that one target runs in a turn (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets run at the same time (%(default)s)")
    options = parser.parse_args()
    if options.list:
        print("\n".join(TARGETS))
    elif options.plant:
        for target in TARGETS:
            plant(options.plant, target)
    elif options.campaign:
        Campaign(options.campaign, options.turn, options.jobs).run(options.seconds)
    else:
        print(report(options.report))


if __name__ == "__main__":
    main()
