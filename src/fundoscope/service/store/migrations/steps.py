"""Steps that migrations share; their effect stays as it is, because no database runs a migration twice."""

from __future__ import annotations

from alembic import op


def add_indexes(table: str, *columns: str) -> None:
    """Add an index for each of some columns, named as SQLAlchemy names those of the models."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        for column in columns:
            batch_op.create_index(batch_op.f(f"ix_{table}_{column}"), [column], unique=False)


def refuse_changes(table: str, words: str) -> None:
    """Let the database refuse to change or delete rows of a table.

    Args:
        table: Its name.
        words: Of the refusal, without quotes.
    """
    if op.get_bind().dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_{deed} BEFORE {deed} ON {table} BEGIN SELECT RAISE(ABORT, '{words}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION refuse_change_of_{table}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{words}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_{table}()"
    )
