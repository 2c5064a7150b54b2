"""Tables of the active release, of look-backs and of the shadow mode."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundoscope.service.store.migrations.steps import add_indexes

revision = "0004"
down_revision = "0003"


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def upgrade() -> None:
    """Make the tables, and the column that says which cases were answered in shadow mode."""
    op.add_column("cases", sa.Column("shadow", sa.Boolean(), server_default="0", nullable=False))
    op.create_table(
        "look_backs",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("release", 200),
        _text("against", 200),
        sa.Column("photographs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cases", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lost", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_compared", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cameras", sa.JSON(), nullable=True),
        _text("actor", 100),
        _text("begun", 32),
        _text("finished", 32, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "activations",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("release", 200),
        sa.Column("look_back_id", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _text("actor", 100),
        _text("moment", 32),
        sa.ForeignKeyConstraint(["look_back_id"], ["look_backs.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "changed_cases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("look_back_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        _text("kind", 60),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        _text("before_release", 200),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("reading", sa.JSON(), nullable=True),
        sa.Column("camera", sa.Text(), nullable=True),
        _text("done", 32, nullable=True),
        _text("done_by", 100, nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"]),
        sa.ForeignKeyConstraint(["look_back_id"], ["look_backs.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("look_back_id", "case_id", name="one_change"),
    )
    op.create_table(
        "shadow_periods",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("release", 200),
        sa.Column("planned", sa.Integer(), nullable=False),
        _text("began", 32),
        _text("ended", 32, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "shadow_looks",
        sa.Column("id", sa.Integer(), nullable=False),
        _text("release", 200),
        sa.Column("readings", sa.Integer(), nullable=False),
        _text("actor", 100),
        _text("moment", 32),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("release", "readings", name="one_look"),
    )
    add_indexes("look_backs", "release")
    add_indexes("changed_cases", "case_id", "look_back_id")
