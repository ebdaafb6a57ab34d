from django.apps import AppConfig


class ReaderStudyConfig(AppConfig):
    name = "reader_study"
    verbose_name = "Reader studies"

    def ready(self) -> None:
        from cases.services.removals import register_freezer
        from leukoweb.core.hooks import register_role_hook
        from leukoweb.core.jobs.registry import register_kind
        from reader_study.holds import cases_on

        register_kind("analysis.run", "reader_study.worker.analysis:run_analysis", queue="ops", unit="parts")
        register_role_hook("reader_study.services.voiding:role_changed")
        register_freezer(cases_on)
