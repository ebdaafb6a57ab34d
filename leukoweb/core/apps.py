from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate

CLEAR_SESSIONS = "core.clear_sessions"


def _prepare_database(sender: AppConfig, using: str, plan: list[object], **kwargs: object) -> None:
    from leukoweb.core.guards import lift_for_migrations

    if plan:
        lift_for_migrations(using)


def _complete_database(sender: AppConfig, using: str, **kwargs: object) -> None:
    """What is no model's: the triggers, and the table of the cache (which counts failed sign-ins)."""
    from django.core.management import call_command

    from leukoweb.core.guards import install_guards

    call_command("createcachetable", database=using, verbosity=0)
    install_guards(using)


class CoreConfig(AppConfig):
    name = "leukoweb.core"
    label = "core"
    verbose_name = "Core"

    def ready(self) -> None:
        from leukoweb.core import guards, identities, sessions  # noqa: F401  they register checks and receivers
        from leukoweb.core.jobs.daily import register_daily
        from leukoweb.core.jobs.registry import register_kind

        register_kind(
            CLEAR_SESSIONS, "leukoweb.core.chores:clear_sessions", queue="ops", title="Remove expired sign-ins"
        )
        register_daily(CLEAR_SESSIONS, "Remove sign-ins that have expired")
        # Each is sent for every app, before the first and after the last migration: once is enough.
        pre_migrate.connect(_prepare_database, sender=self, dispatch_uid="leukoweb.prepare_database")
        post_migrate.connect(_complete_database, sender=self, dispatch_uid="leukoweb.complete_database")
