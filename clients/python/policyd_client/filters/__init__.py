"""Filters as conditions of a database: `sqlite`, `postgres` and `sqlalchemy`.

    from policyd_client.filters import sqlite

    where = sqlite.where(client.filter(token, action="read", resource_type="document"), columns)
    rows = connection.execute(f"SELECT * FROM documents WHERE {where.text}", where.parameters)

A condition is text with parameters; values never stand in it. It selects a row exactly when the
daemon would allow the action on it, for tables whose columns hold what the policy declares. What a
database cannot say is refused with `FilterRefused`, and never approximated.
"""

from .sql import Expression as Expression
from .sql import FilterRefused as FilterRefused
from .sql import Where as Where
