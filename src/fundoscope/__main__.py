"""`python -m fundoscope`."""

from fundoscope.cli import main

main()
