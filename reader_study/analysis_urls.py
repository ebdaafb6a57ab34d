from django.urls import path

from reader_study.views import analyses, consistency
from reader_study.views import analysis_files as files

urlpatterns = [
    path("studies/<uuid:public_id>/analyses/", analyses.analysis_index, name="analysis_list"),
    path("studies/<uuid:public_id>/imported-ai/", analyses.evaluator_create, name="analysis_evaluator_create"),
    path("analyses/<uuid:analysis>/", analyses.analysis_detail, name="analysis_detail"),
    path("analyses/<uuid:analysis>/files/<str:name>", files.analysis_file, name="analysis_file"),
    path("analyses/<uuid:analysis>/tables/<slug:key>.<slug:kind>", files.analysis_table, name="analysis_table"),
    path("analyses/<uuid:analysis>/figures/<slug:key>.<slug:kind>", files.analysis_figure, name="analysis_figure"),
    path("analyses/<uuid:analysis>/<slug:section>/", analyses.analysis_detail, name="analysis_section"),
    path("consistency/", consistency.consistency_check, name="analysis_consistency"),
]
