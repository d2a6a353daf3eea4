"""The number of a deleted row is never given again, so that an old link never leads to something else.

PostgreSQL's sequences see to it, and AUTOINCREMENT on SQLite. But there a migration that changes a table makes it anew
and copies the rows, and with them only the highest number that is left; the numbers given so far are carried over here.
"""

from django.apps import apps
from django.db import connections

_remembered: dict[str, int] = {}  # table → highest number given


def remember_numbers(*, using: str, **_) -> None:
    """Before the migrations."""
    _remembered.clear()
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
        if cursor.fetchone():
            cursor.execute("SELECT name, seq FROM sqlite_sequence")
            _remembered.update(cursor.fetchall())


def keep_numbers(*, using: str, **_) -> None:
    """After the migrations."""
    tables = {model._meta.db_table for model in apps.get_app_config("gallery").get_models()}
    with connections[using].cursor() as cursor:
        for table in tables & set(_remembered):
            values = [_remembered[table], table]
            cursor.execute("UPDATE sqlite_sequence SET seq = max(seq, %s) WHERE name = %s", values)
            cursor.execute(
                "INSERT INTO sqlite_sequence (seq, name) SELECT %s, %s "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = %s)",
                [*values, table],
            )
