from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "AI pipeline"

    def ready(self) -> None:
        from cases.selectors.slide_states import register_slide_states
        from cases.services.removals import register_freezer
        from inference.holds import results_on
        from inference.selectors.slide_runs import SlideRuns
        from leukoweb.core.jobs.registry import register_kind

        register_freezer(results_on)
        register_slide_states("run", SlideRuns())
        register_kind("inference.run", "inference.worker.prediction:run_pipeline", queue="infer", unit="images")
        register_kind("inference.saliency", "inference.worker.saliency:render_map", queue="infer", unit="maps")
        register_kind("training.run", "inference.worker.training:train_run", queue="train", unit="epochs")
        register_kind("training.estimate", "inference.worker.training:estimate_run", queue="train", unit="models")
        register_kind("training.evaluate", "inference.worker.evaluation:evaluate_job", queue="train", unit="images")
        register_kind("inference.calibrate", "inference.worker.calibration:calibrate", queue="infer", unit="models")
        register_kind(
            "inference.saliency_slide", "inference.worker.saliency_slide:render_slide", queue="infer", unit="fields"
        )
