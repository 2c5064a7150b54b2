"""What was written down by another version is refused, not half read."""

from __future__ import annotations

import pytest

from fundoscope.decide.neighbours import Voting
from fundoscope.records import check_keys


def test_the_keys_are_the_fields_and_nothing_else():
    written = dict.fromkeys(("k", "metric", "weights"))

    check_keys(written, Voting)
    for wrong in (written | {"more": 1}, {"k": 3}):
        with pytest.raises(ValueError, match=r"expected the keys k, metric, weights, got k"):
            check_keys(wrong, Voting)
