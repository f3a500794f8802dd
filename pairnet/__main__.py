"""`python -m pairnet` is `pairnet`."""

from pairnet.cli import main

main()
