"""pg_dump and pg_restore connect as strictly as the application does."""

from __future__ import annotations

import environ

from leukoweb.backup.database import libpq_environment

URL = (
    "postgres://leukoweb:p%40ss@db.example.org:5433/smears"
    "?sslmode=verify-full&sslrootcert=/etc/ca.pem&channel_binding=require"
)


def test_what_follows_the_address_reaches_the_programs() -> None:
    config = environ.Env.db_url_config(URL)
    config["OPTIONS"] = {"connect_timeout": 5, "keepalives_idle": 20, "options": "-c x=1"} | config["OPTIONS"]
    assert libpq_environment(config) == {
        "PGHOST": "db.example.org", "PGPORT": "5433", "PGUSER": "leukoweb", "PGPASSWORD": "p@ss",
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/ca.pem", "PGCHANNELBINDING": "require",
        "PGCONNECT_TIMEOUT": "5",
    }  # fmt: skip


def test_what_is_not_set_stays_libpqs_own() -> None:
    assert libpq_environment({"HOST": "", "PORT": "", "USER": "me", "PASSWORD": "", "OPTIONS": {"pool": True}}) == {
        "PGUSER": "me"
    }
