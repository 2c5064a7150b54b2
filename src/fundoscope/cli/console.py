"""The two places the program prints to: answers on standard output, troubles and progress on standard error."""

from __future__ import annotations

from rich.console import Console

answers = Console(highlight=False)
troubles = Console(stderr=True, highlight=False)
