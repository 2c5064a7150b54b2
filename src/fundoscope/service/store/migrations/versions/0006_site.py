"""Tables of a site's monitoring."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundoscope.service.store.migrations.steps import add_indexes

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "photograph_cameras",
        sa.Column("photograph_id", sa.Integer(), nullable=False),
        sa.Column("camera", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["photograph_id"], ["photographs.id"]),
        sa.PrimaryKeyConstraint("photograph_id"),
    )
    op.create_table(
        "monitoring_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release", sa.String(length=200), nullable=False),
        sa.Column("protocol", sa.String(length=64), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "monitored_cases",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"]),
        sa.ForeignKeyConstraint(["run_id"], ["monitoring_runs.id"]),
        sa.PrimaryKeyConstraint("case_id"),
    )
    add_indexes("monitored_cases", "run_id")
