"""What a check of an audit says: how grave, about which photographs, on what evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["blocks", "warns", "notes"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    check: str
    """Name of the check, words joined by hyphens."""
    severity: Severity
    """blocks: do not train or evaluate on this. warns: look at it. notes: good to know."""
    message: str
    """What was found and what to do about it, in one or two sentences."""
    images: tuple[str, ...] = ()
    """Photographs it is about, as the audit names them."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """Counts, tables and names, as JSON can hold them."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {
            "check": self.check,
            "severity": self.severity,
            "message": self.message,
            "images": list(self.images),
            "evidence": self.evidence,
        }
