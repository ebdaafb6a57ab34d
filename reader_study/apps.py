from django.apps import AppConfig


class ReaderStudyConfig(AppConfig):
    name = "reader_study"
    verbose_name = "Reader studies"

    def ready(self) -> None:
        from leukoweb.core.hooks import register_role_hook

        register_role_hook("reader_study.services.voiding:role_changed")
