from django.urls import path

from reader_study import study_api

urlpatterns = [
    path("studies/", study_api.StudyList.as_view(), name="api_studies"),
    path("studies/<uuid:public_id>/", study_api.StudyDetail.as_view(), name="api_study"),
    path("studies/<uuid:public_id>/protocol/", study_api.StudyProtocol.as_view(), name="api_study_protocol"),
    path("studies/<uuid:public_id>/checks/", study_api.StudyChecks.as_view(), name="api_study_checks"),
    path("studies/<uuid:public_id>/lock/", study_api.StudyLock.as_view(), name="api_study_lock"),
    path("studies/<uuid:public_id>/amend/", study_api.StudyAmend.as_view(), name="api_study_amend"),
    path("studies/<uuid:public_id>/extend/", study_api.StudyExtend.as_view(), name="api_study_extend"),
    path("studies/<uuid:public_id>/replace/", study_api.StudyReplace.as_view(), name="api_study_replace"),
    path("studies/<uuid:public_id>/freeze/", study_api.StudyFreeze.as_view(), name="api_study_freeze"),
    path("studies/<uuid:public_id>/unblind/", study_api.StudyUnblind.as_view(), name="api_study_unblind"),
    path("studies/<uuid:public_id>/readings/", study_api.StudyImport.as_view(), name="api_study_import"),
    path("studies/<uuid:public_id>/grid/", study_api.StudyGrid.as_view(), name="api_study_grid"),
]
