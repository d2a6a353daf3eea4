"""Sessions in the database, asked only for keys that it can hold."""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    def _validate_session_key(self, key) -> bool:
        # a quoted cookie can hold a NUL, which PostgreSQL refuses: it is no session, not a broken server
        return bool(key) and key.isascii() and key.isalnum() and super()._validate_session_key(key)
