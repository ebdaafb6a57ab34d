from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "AI pipeline"

    def ready(self) -> None:
        from leukoweb.core.jobs.registry import register_kind

        register_kind("inference.run", "inference.worker.prediction:run_pipeline", queue="infer", unit="images")
        register_kind("inference.saliency", "inference.worker.saliency:render_map", queue="infer", unit="maps")
