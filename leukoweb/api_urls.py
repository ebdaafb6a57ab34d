"""The REST API, version 1. Its description is for staff only: a blinded reader must not learn shapes of secrets."""

from django.urls import include, path

from leukoweb.core.views import apidocs

urlpatterns = [
    path("schema/", apidocs.schema, name="api_schema"),
    path("docs/", apidocs.docs, name="api_docs"),
    path("", include("cases.api_urls")),
    path("", include("inference.api_urls")),
    path("", include("reader_study.study_api_urls")),
    path("", include("leukoweb.core.api_urls")),
]
