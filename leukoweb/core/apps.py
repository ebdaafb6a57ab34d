from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _install_guards(sender: AppConfig, using: str, **kwargs: object) -> None:
    from leukoweb.core.guards import install_guards

    install_guards(using)


class CoreConfig(AppConfig):
    name = "leukoweb.core"
    label = "core"
    verbose_name = "Core"

    def ready(self) -> None:
        from leukoweb.core import guards  # noqa: F401  registers the checks

        post_migrate.connect(_install_guards, dispatch_uid="leukoweb.install_guards")
