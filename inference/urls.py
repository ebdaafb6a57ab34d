from django.urls import path

from inference.views import registry, results, retraining, runs, saliency, training, training_reports

urlpatterns = [
    path("models/", registry.model_list, name="model_list"),
    path("models/import/", registry.registry_import, name="registry_import"),
    path("models/<int:pk>/", registry.model_detail, name="model_detail"),
    path("models/<int:pk>/export/", registry.model_export, name="model_export"),
    path("pipelines/new/", registry.pipeline_create, name="pipeline_create"),
    path("pipelines/<int:pk>/", registry.pipeline_detail, name="pipeline_detail"),
    path("pipelines/<int:pk>/activate/", registry.pipeline_activate, name="pipeline_activate"),
    path("pipelines/<int:pk>/export/", registry.pipeline_export, name="pipeline_export"),
    path("pipelines/<int:pk>/promote/", training_reports.pipeline_promote, name="pipeline_promote"),
    path("promotions/", training_reports.promotion_list, name="promotion_list"),
    path("promotions/<int:pk>/back/", training_reports.promotion_roll_back, name="promotion_roll_back"),
    path("training/", training.training_list, name="training_list"),
    path("training/new/", training.training_create, name="training_create"),
    path("training/when/", retraining.training_when, name="training_when"),
    path("training/<uuid:run>/", training.training_detail, name="training_detail"),
    path("training/<uuid:run>/begin/", training.training_begin, name="training_begin"),
    path("training/<uuid:run>/cancel/", training.training_cancel, name="training_cancel"),
    path("training/<uuid:run>/continue/", training.training_continue, name="training_continue"),
    path("training/<uuid:run>/compare/", training_reports.training_compare, name="training_compare"),
    path("training/<uuid:run>/rules/", training_reports.training_rules, name="training_rules"),
    path("training/<uuid:run>/evaluate/<int:pipeline>/", training_reports.training_evaluate, name="training_evaluate"),
    path(
        "training/<uuid:run>/sweep/<str:measure>/<str:theme>.svg",
        training_reports.training_sweep_figure,
        name="training_sweep_figure",
    ),
    path("training/<uuid:run>/<str:part>/", training_reports.training_report, name="training_report"),
    path(
        "training/<uuid:run>/<str:part>/curves/<str:theme>.svg", training.training_curves, name="training_curves"
    ),
    path(
        "training/<uuid:run>/<str:part>/report/<str:theme>.svg",
        training_reports.training_report_figure,
        name="training_report_figure",
    ),
    path("slides/<int:pk>/runs/", runs.slide_runs, name="slide_runs"),
    path("slides/<int:pk>/runs/new/", runs.run_create, name="run_create"),
    path("cohorts/<int:pk>/runs/", runs.cohort_runs, name="cohort_runs"),
    path("cohorts/<int:pk>/runs/new/", runs.cohort_run_create, name="cohort_run_create"),
    path("results/", results.result_list, name="result_list"),
    path("results/<uuid:run>/", results.result_detail, name="result_detail"),
    path("results/<uuid:run>/fields/", results.result_fields, name="result_fields"),
    path("results/<uuid:run>/export.json", results.result_json, name="result_json"),
    path("results/<uuid:run>/export.csv", results.result_csv, name="result_csv"),
    path("results/<uuid:run>/compare/<uuid:other>/", results.result_compare, name="result_compare"),
    path("results/<uuid:run>/saliency/", saliency.saliency_sheet, name="result_saliency_sheet"),
    path("results/<uuid:run>/saliency/render/", saliency.saliency_render, name="result_saliency_render"),
    path(
        "results/<uuid:run>/saliency/<uuid:image>/<str:slot>/<str:class_name>/",
        results.saliency,
        name="result_saliency",
    ),
]
