from django.apps import AppConfig


class ReaderStudyConfig(AppConfig):
    name = "reader_study"
    verbose_name = "Reader studies"

    def ready(self) -> None:
        from cases.services.mending import register_name_holder
        from cases.services.removals import register_freezer
        from cases.services.sorting_tasks import register_hiding
        from cases.services.withdrawals import register_follower
        from leukoweb.core.audit_targets import register_parts, register_target
        from leukoweb.core.audit_trail import register_details_rule
        from leukoweb.core.hooks import register_leaving_question, register_role_hook, register_role_question
        from leukoweb.core.jobs.daily import register_daily
        from leukoweb.core.jobs.registry import register_kind
        from reader_study.holds import cases_on, protocols_on
        from reader_study.selectors.blindfold import hidden_patients
        from reader_study.services.withdrawn import patient_gone

        register_kind(
            "analysis.run", "reader_study.worker.analysis:run_analysis", queue="ops", unit="parts",
            title="Analysis of a study", link="reader_study.links:analysis_links",
        )  # fmt: skip
        register_kind(
            "reading.remind", "reader_study.worker.reminders:remind", queue="ops", unit="mails",
            title="Mail readers",
        )  # fmt: skip
        register_daily("reading.remind", "Mail readers whose session has opened")
        register_role_hook("reader_study.services.voiding:role_changed")
        register_role_question("reader_study.selectors.endings:sessions_that_would_end")
        register_leaving_question("reader_study.selectors.endings:studies_left_alone")
        register_freezer(cases_on)
        register_name_holder(protocols_on)
        register_hiding(hidden_patients)
        register_follower(patient_gone)
        for prefix in ("study.", "session.", "reading.", "analysis."):
            register_details_rule(prefix, "reader_study.selectors.audit:own_studies")
        for kind in ("study", "session", "analysis"):
            register_target(kind, f"reader_study.selectors.audit:{kind}_names")
        register_parts("study", "reader_study.selectors.audit:study_parts")
