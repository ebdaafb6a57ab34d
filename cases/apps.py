from django.apps import AppConfig


class CasesConfig(AppConfig):
    name = "cases"
    verbose_name = "Patients, slides and images"

    def ready(self) -> None:
        from cases.services.dataset_uploads import imports_into
        from cases.services.mending import register_name_holder
        from leukoweb.core.audit_targets import register_parts, register_target
        from leukoweb.core.audit_trail import register_details_action
        from leukoweb.core.hooks import register_role_hook, register_role_question
        from leukoweb.core.jobs.daily import register_daily
        from leukoweb.core.jobs.registry import register_kind

        register_kind(
            "cases.ingest_archive", "cases.worker:ingest_archive", queue="ops", unit="images",
            title="Unpack an archive", link="cases.links:archive_links",
        )  # fmt: skip
        register_kind(
            "cases.find_text", "cases.worker:find_text_of_slide", queue="ops", unit="images",
            title="Look for text in a slide", link="cases.links:text_links",
        )  # fmt: skip
        register_kind(
            "cases.measure", "cases.worker:measure_images", queue="ops", unit="images",
            title="Measure image quality", link="cases.links:measure_links",
        )  # fmt: skip
        register_kind(
            "cases.import_dataset", "cases.worker:import_dataset", queue="ops", unit="steps",
            title="Import a dataset", link="cases.links:dataset_links",
        )  # fmt: skip
        register_kind(
            "cases.sweep_media", "cases.worker:sweep_media", queue="ops",
            title="Sweep stored files",
        )  # fmt: skip
        register_daily("cases.sweep_media", "Remove stored files that no record names")
        register_name_holder(imports_into)
        register_role_hook("cases.services.sorting_tasks:role_changed")
        register_role_question("cases.selectors.sorting_queue:seats_that_would_end")
        # A code is corrected, or goes, because something stood in it that should not.
        corrected = ("patient.recode", "slide.recode", "patient.remove", "slide.remove", "slide.move", "patient.slide_")
        for action in corrected:
            register_details_action(action, "slides.mend")
        for kind in ("patient", "slide", "cohort", "taxonomy", "dataset", "sorting"):
            register_target(kind, f"cases.selectors.audit:{kind}_names")
        register_parts("patient", "cases.selectors.audit:patient_parts")
