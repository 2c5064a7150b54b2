"""The codes of `runtime.output.codes` as objects of highdicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fundoscope.runtime.output.codes import Triple

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept


def concept(code: Triple) -> CodedConcept:
    """Return a code as highdicom has it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(*code)
