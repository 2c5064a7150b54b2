"""Tables of the releases of a service: which one is active, what another one would change, and the shadow mode."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fundoscope.service.store.models import Base


class Activation(Base):
    """A release that became the active one: the last activation counts."""

    __tablename__ = "activations"
    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(String(200))
    """Id and first digits of the hash."""
    look_back_id: Mapped[int | None] = mapped_column(ForeignKey("look_backs.id"))
    """What had been found out about its answers before; None: nothing."""
    reason: Mapped[str | None] = mapped_column(Text)
    """Why it was activated without a look-back."""
    actor: Mapped[str] = mapped_column(String(100))
    moment: Mapped[str] = mapped_column(String(32))


class LookBack(Base):
    """A release that grades the archive before it is activated."""

    __tablename__ = "look_backs"
    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(String(200), index=True)
    """The release that grades."""
    against: Mapped[str] = mapped_column(String(200))
    """The release that was active."""
    photographs: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """Photographs of the cases that were compared."""
    cases: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """Cases that were compared."""
    lost: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """Photographs that could not be graded by the release: their bytes are not there, or a fault in the program."""
    not_compared: Mapped[int] = mapped_column(Integer, server_default="0", default=0)
    """Cases of these photographs."""
    cameras: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Cases that were compared, by camera."""
    actor: Mapped[str] = mapped_column(String(100))
    begun: Mapped[str] = mapped_column(String(32))
    finished: Mapped[str | None] = mapped_column(String(32))
    """None: photographs are left to be graded."""


class ChangedCase(Base):
    """A case to which the release of a look-back gives another answer than the case has."""

    __tablename__ = "changed_cases"
    __table_args__ = (UniqueConstraint("look_back_id", "case_id", name="one_change"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    look_back_id: Mapped[int] = mapped_column(ForeignKey("look_backs.id"), index=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    kind: Mapped[str] = mapped_column(String(60))
    """What changes: one of `work.changes.KINDS`."""
    rank: Mapped[int] = mapped_column(Integer)
    """Place among changes, the most harmful lowest."""
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The answer that the case had, as `Case.answer`."""
    before_release: Mapped[str] = mapped_column(String(200))
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The answer of the release that looked back."""
    reading: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What people read in the case, and which of the two answers that agrees with; None: nobody has read it."""
    camera: Mapped[str | None] = mapped_column(Text)
    """Cameras of its photographs; None: no file names one."""
    done: Mapped[str | None] = mapped_column(String(32))
    """When somebody noted that the case was dealt with."""
    done_by: Mapped[str | None] = mapped_column(String(100))


class ShadowPeriod(Base):
    """A time in which answers are kept and shown to nobody, and the number of patients that was planned for it."""

    __tablename__ = "shadow_periods"
    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(String(200))
    planned: Mapped[int] = mapped_column(Integer)
    """Referable patients, by the readers, from which on figures are shown."""
    began: Mapped[str] = mapped_column(String(32))
    ended: Mapped[str | None] = mapped_column(String(32))


class ShadowLook(Base):
    """A look at the figures of the shadow mode; one for each state of the readings that was looked at."""

    __tablename__ = "shadow_looks"
    __table_args__ = (UniqueConstraint("release", "readings", name="one_look"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    release: Mapped[str] = mapped_column(String(200))
    readings: Mapped[int] = mapped_column(Integer)
    """Id of the last reading that the figures were of."""
    actor: Mapped[str] = mapped_column(String(100))
    moment: Mapped[str] = mapped_column(String(32))
