from django.urls import path

from inference.views import registry, results, runs

urlpatterns = [
    path("models/", registry.model_list, name="model_list"),
    path("models/import/", registry.registry_import, name="registry_import"),
    path("models/<int:pk>/", registry.model_detail, name="model_detail"),
    path("models/<int:pk>/export/", registry.model_export, name="model_export"),
    path("pipelines/new/", registry.pipeline_create, name="pipeline_create"),
    path("pipelines/<int:pk>/", registry.pipeline_detail, name="pipeline_detail"),
    path("pipelines/<int:pk>/activate/", registry.pipeline_activate, name="pipeline_activate"),
    path("pipelines/<int:pk>/export/", registry.pipeline_export, name="pipeline_export"),
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
    path(
        "results/<uuid:run>/saliency/<uuid:image>/<str:slot>/<str:class_name>/",
        results.saliency,
        name="result_saliency",
    ),
]
