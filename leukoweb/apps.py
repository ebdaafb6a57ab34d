from django.apps import AppConfig


class RootConfig(AppConfig):
    """The composition root: start-up command and demo; it also configures the Celery application."""

    name = "leukoweb"
    verbose_name = "leukoweb"

    def ready(self) -> None:
        from leukoweb.core.jobs.registry import register_kind

        register_kind(
            "demo.first", "leukoweb.demo.cohort:draw_first", queue="ops", unit="fields",
            title="Draw the first phantom patient",
        )  # fmt: skip
        register_kind(
            "demo.draw", "leukoweb.demo.cohort:draw", queue="ops", unit="fields",
            title="Draw the phantom cohort",
        )  # fmt: skip
        register_kind(
            "demo.sorting", "leukoweb.demo.sorting:make", queue="ops", unit="fields",
            title="Make the demo sorting",
        )  # fmt: skip
        register_kind(
            "demo.study", "leukoweb.demo.study:make", queue="ops", unit="fields",
            title="Make the demo study",
        )  # fmt: skip

        from leukoweb import celery  # noqa: F401  must be configured before a shared task is sent
