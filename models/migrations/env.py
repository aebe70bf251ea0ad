"""Alembic's entry: migrates on the connection, and in the transaction, that `models.migrate` opened."""

from alembic import context

from models import api_key, audit_record
from models.base import Base

TABLES = (api_key.ApiKey, audit_record.AuditRecord)

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
