from django.apps import AppConfig


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "AI pipeline"

    def ready(self) -> None:
        from cases.selectors.slide_states import register_slide_states
        from cases.services.removals import register_freezer
        from cases.services.sweeping import register_sweep
        from inference.holds import results_on
        from inference.selectors.slide_runs import SlideRuns
        from leukoweb.core.audit_targets import register_target
        from leukoweb.core.jobs.registry import register_kind

        for kind in ("run", "model", "pipeline", "training"):
            register_target(kind, f"inference.selectors.audit:{kind}_names")
        register_freezer(results_on)
        register_slide_states("run", SlideRuns())
        register_sweep("inference.services.training_sweep:trainings_sweep", "training file")
        register_kind(
            "inference.run", "inference.worker.prediction:run_pipeline", queue="infer", unit="images",
            title="Pipeline on a slide", link="inference.links:run_links",
        )  # fmt: skip
        register_kind(
            "inference.saliency", "inference.worker.saliency:render_map", queue="infer", unit="maps",
            title="Saliency map of a field", link="inference.links:map_links",
        )  # fmt: skip
        register_kind(
            "training.run", "inference.worker.training:train_run", queue="train", unit="epochs",
            title="Training", link="inference.links:training_links",
        )  # fmt: skip
        register_kind(
            "training.estimate", "inference.worker.training:estimate_run", queue="train", unit="models",
            title="Time estimate of a training", link="inference.links:training_links",
        )  # fmt: skip
        register_kind(
            "training.evaluate", "inference.worker.evaluation:evaluate_job", queue="train", unit="images",
            title="Evaluate a pipeline", link="inference.links:evaluation_links",
        )  # fmt: skip
        register_kind(
            "inference.calibrate", "inference.worker.calibration:calibrate", queue="infer", unit="models",
            title="Re-check band of a model", link="inference.links:calibration_links",
        )  # fmt: skip
        register_kind(
            "inference.saliency_slide", "inference.worker.saliency_slide:render_slide", queue="infer", unit="fields",
            title="Saliency maps of a slide", link="inference.links:sheet_links",
        )  # fmt: skip
