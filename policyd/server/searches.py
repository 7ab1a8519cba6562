"""The directory of entities that searches go through, from the configuration."""

from __future__ import annotations

from pathlib import Path

from policyd.config.configuration import Configuration
from policyd.config.entities import EntitiesInvalid, EntityTable
from policyd.config.findings import ConfigurationInvalid
from policyd.config.listeners import AUTHZEN
from policyd.config.tables import AuthzenDatabase
from policyd.server.directory.file import FileDirectory
from policyd.server.directory.model import EntityDirectory


def open_directory(configuration: Configuration) -> EntityDirectory | None:
    """Open the directory, `None` where nobody searches. Raises `ConfigurationInvalid`."""
    table = configuration.authzen
    if not any(AUTHZEN in listener.services for listener in configuration.listeners):
        return None
    if table.database is not None:
        return _of_database(table.database)
    if table.directory is None:
        return None
    try:
        return FileDirectory(Path(table.directory))
    except EntitiesInvalid as error:
        raise ConfigurationInvalid.of("P5008", f"`authzen.directory`: {error}") from None


def _of_database(settings: AuthzenDatabase) -> EntityDirectory:
    """Open a database; who has none loads nothing of it."""
    from policyd.server.directory.database import DatabaseDirectory
    from policyd.server.directory.sqlite import Sqlite

    tables = {
        type_: EntityTable(one.table, one.id, one.columns)
        for type_, one in settings.entities.items()
    }
    if settings.sqlite is not None:
        database = Sqlite(Path(settings.sqlite), settings.timeout)
        return DatabaseDirectory(database, tables, settings.timeout)
    from policyd.config.conninfo import server_of
    from policyd.server.directory.postgres import Postgres, PostgresSettings

    assert settings.postgres is not None, "the configuration names one of the two"
    password = None if settings.password_file is None else Path(settings.password_file)
    name = server_of(settings.postgres, insecure=settings.insecure)
    server = Postgres(PostgresSettings(settings.postgres, password, settings.timeout), name)
    return DatabaseDirectory(server, tables, settings.timeout)
