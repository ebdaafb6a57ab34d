from django.urls import path

from reader_study.views import conduct, designer, studies, walkthrough

# Of coordinators. Readers have addresses of their own (reader_study.urls).
urlpatterns = [
    path("studies/", studies.study_index, name="study_list"),
    path("studies/new/", studies.study_create, name="study_create"),
    path("studies/<uuid:public_id>/", studies.study_detail, name="study_detail"),
    path("studies/<uuid:public_id>/design/", designer.study_design, name="study_design"),
    path("studies/<uuid:public_id>/design/check/", designer.study_check, name="study_check"),
    path("studies/<uuid:public_id>/design/upload/", designer.study_upload, name="study_upload"),
    path("studies/<uuid:public_id>/confounders/", designer.study_confounders, name="study_confounders"),
    path("studies/<uuid:public_id>/protocol/", studies.study_protocol, name="study_protocol"),
    path("studies/<uuid:public_id>/protocol.yaml", studies.study_protocol_file, name="study_protocol_file"),
    path("studies/<uuid:public_id>/lock/", conduct.study_lock, name="study_lock"),
    path("studies/<uuid:public_id>/amend/", conduct.study_amend, name="study_amend"),
    path("studies/<uuid:public_id>/extend/", conduct.study_extend, name="study_extend"),
    path("studies/<uuid:public_id>/readers/<int:pk>/replace/", conduct.reader_replace, name="study_reader_replace"),
    path("studies/<uuid:public_id>/coordinators/", studies.study_coordinators, name="study_coordinators"),
    path("studies/<uuid:public_id>/delete/", studies.study_delete, name="study_delete"),
    path("studies/<uuid:public_id>/invite/", studies.study_invite, name="study_invite"),
    path("studies/<uuid:public_id>/readings/import/", conduct.study_import, name="study_import"),
    path("studies/<uuid:public_id>/freeze/", conduct.study_freeze, name="study_freeze"),
    path("studies/<uuid:public_id>/unblind/", conduct.study_unblind, name="study_unblind"),
    path("studies/<uuid:public_id>/cases/", walkthrough.study_walk, name="study_walk"),
    path("studies/<uuid:public_id>/cases/<str:code>/", walkthrough.study_walk_case, name="study_walk_case"),
]
