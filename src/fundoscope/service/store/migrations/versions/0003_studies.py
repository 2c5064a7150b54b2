"""Tables of reader studies, and triggers that keep the grades in them as they were given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from fundoscope.service.store.migrations.steps import add_indexes, refuse_changes

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("release", sa.String(length=200), nullable=False),
        sa.Column("with_answer", sa.Boolean(), nullable=False),
        sa.Column("heatmap", sa.Boolean(), nullable=False),
        sa.Column("sittings", sa.Integer(), nullable=False),
        sa.Column("washout_days", sa.Integer(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("closed", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("uid"),
    )
    op.create_table(
        "study_cases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.String(length=64), nullable=False),
        sa.Column("photographs", sa.JSON(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("references", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.id"]),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_id", "case_id", name="one_case_a_study"),
        sa.UniqueConstraint("uid"),
    )
    add_indexes("study_cases", "case_id", "study_id")
    op.create_table(
        "study_readers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("opened_before", sa.Integer(), nullable=False),
        sa.Column("enrolled", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_id", "user_id", name="one_enrolment"),
    )
    add_indexes("study_readers", "study_id", "user_id")
    op.create_table(
        "study_views",
        sa.Column("id", sa.Integer(), nullable=False),
        *_place_columns(),
        sa.Column("moment", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["study_case_id"], ["study_cases.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    add_indexes("study_views", "study_case_id", "user_id")
    op.create_table(
        "study_grades",
        sa.Column("id", sa.Integer(), nullable=False),
        *_place_columns(),
        sa.Column("eye", sa.String(length=7), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("views", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["study_case_id"], ["study_cases.id"]),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_case_id", "user_id", "sitting", "stage", "eye", name="one_study_grade"),
    )
    add_indexes("study_grades", "study_case_id", "user_id")
    refuse_changes("study_grades", "grades of a study are never changed")


def _place_columns() -> list[sa.Column[object]]:
    """Return the columns that say whose view or grade a row is, of which case, in which sitting and stage."""
    return [
        sa.Column("study_case_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("sitting", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
    ]
