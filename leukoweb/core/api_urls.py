from django.urls import path

from leukoweb.core.views import job_api

urlpatterns = [
    path("jobs/<uuid:pk>/", job_api.JobDetail.as_view(), name="api_job"),
    path("jobs/<uuid:pk>/cancel/", job_api.JobCancel.as_view(), name="api_job_cancel"),
]
