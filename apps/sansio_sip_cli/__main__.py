"""`python -m sansio_sip_cli`, and what the script `sansio-sip` calls."""

import sys

__all__ = ["run"]


def run() -> None:
    """The command, or the line that says how to get what it needs."""
    try:
        from .main import main
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("sansio-sip: click is not installed; pip install 'sansio-sip[cli]'")
    main()


if __name__ == "__main__":
    run()
