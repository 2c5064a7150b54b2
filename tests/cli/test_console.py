from __future__ import annotations

from importlib import import_module

import pytest

from fundoscope.cli.console import needs_extra
from fundoscope.errors import MissingExtra


def test_a_package_that_is_not_installed_is_named_by_its_extra():
    with (
        pytest.raises(MissingExtra, match=r"^--checkpoint needs packages that are not installed\. Run: pip install "
        r"'fundoscope\[train\]'$"),
        needs_extra("--checkpoint"),
    ):  # fmt: skip
        import_module("no_such_package")


def test_a_module_of_our_own_that_is_not_there_is_a_mistake_in_the_code_and_stays_one():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'fundoscope\.nothing'"), needs_extra("train"):
        import_module("fundoscope.nothing")
