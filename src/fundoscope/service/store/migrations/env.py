"""Run by Alembic: the migrations of one database, on the connection that `store.database` opened."""

from alembic import context

from fundoscope.service.store.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
