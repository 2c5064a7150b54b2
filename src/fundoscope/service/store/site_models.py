"""Tables of a site's monitoring: the cameras of photographs, and what each run of `monitor` found in new patients."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from fundoscope.service.store.models import Base


class PhotographCamera(Base):
    """The camera that a photograph's file names, so that each file is read for it once."""

    __tablename__ = "photograph_cameras"
    photograph_id: Mapped[int] = mapped_column(ForeignKey("photographs.id"), primary_key=True)
    camera: Mapped[str | None] = mapped_column(Text)
    """None: the file names none."""


class MonitoringRun(Base):
    """A comparison of the patients who came since the last one with those of the commissioning."""

    __tablename__ = "monitoring_runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(String(200))
    """The release that had answered."""
    protocol: Mapped[str] = mapped_column(String(64))
    """Seal of the site's protocol."""
    holds: Mapped[bool] = mapped_column(Boolean)
    """Whether no change was found."""
    cases: Mapped[int] = mapped_column(Integer)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    """`clinic.monitoring.watch.MonitoringReport`."""
    actor: Mapped[str] = mapped_column(String(100))
    created: Mapped[str] = mapped_column(String(32))


class MonitoredCase(Base):
    """A case that was in a run: every patient is looked at once."""

    __tablename__ = "monitored_cases"
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("monitoring_runs.id"), index=True)
