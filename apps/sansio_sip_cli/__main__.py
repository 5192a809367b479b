"""`python -m sansio_sip_cli`: the command without its script."""

from .main import main

main()
