from django.urls import path

from inference import api

urlpatterns = [
    path("slides/<int:pk>/runs/", api.RunCreate.as_view(), name="api_run_create"),
    path("cohorts/<int:pk>/results/", api.CohortResults.as_view(), name="api_cohort_results"),
    path("runs/<uuid:run>/", api.RunDetail.as_view(), name="api_run_detail"),
    path("runs/<uuid:run>/result/", api.ResultDetail.as_view(), name="api_result_detail"),
    path("runs/<uuid:run>/result/fhir/", api.ResultFhir.as_view(), name="api_result_fhir"),
    path("runs/<uuid:run>/result/sr/", api.ResultSr.as_view(), name="api_result_sr"),
    path("models/", api.ModelList.as_view(), name="api_model_list"),
    path("pipelines/", api.PipelineList.as_view(), name="api_pipeline_list"),
]
