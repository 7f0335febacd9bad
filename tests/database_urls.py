"""Read a database URL into the dict Django's DATABASES wants."""

from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_OPTIONS = {
    # Take the write lock when a transaction starts: an upgrade from a read lock fails at once
    # instead of waiting for its turn.
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,  # seconds
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}
ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "mariadb": "django.db.backends.mysql",
    "mysql": "django.db.backends.mysql",
}


def settings_for(url):
    """Return the DATABASES entry for a URL such as postgresql://user:pw@host:port/name.

    The query string's pairs become OPTIONS; `sqlite` alone is a file database the caller names.
    Raise ValueError if the scheme is unknown.
    """
    parts = urlsplit(url)
    scheme = parts.scheme or parts.path
    if scheme not in ENGINES:
        raise ValueError(f"unknown database {scheme!r} in {url!r}; known: {', '.join(ENGINES)}")
    if scheme == "sqlite":
        return sqlite_settings(unquote(parts.path.removeprefix("/")) if parts.scheme else "")
    return {
        "ENGINE": ENGINES[scheme],
        "NAME": unquote(parts.path.lstrip("/")) or "django_tasks",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "OPTIONS": {"connect_timeout": 10} | dict(parse_qsl(parts.query)),
    }


def sqlite_settings(name):
    return {"ENGINE": ENGINES["sqlite"], "NAME": name, "OPTIONS": dict(SQLITE_OPTIONS)}
