from django.urls import include, path

from leukoweb import views
from leukoweb.core.views import users

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("accounts/password/reset/", users.password_lost, name="password_lost"),
    path("accounts/password/set/", users.password_lost),  # by an admin's link alone
    path("accounts/email/", users.no_such_page),  # addresses are the admin's: they decide who signs in
    path("accounts/", include("allauth.urls")),
    path("", include("leukoweb.core.urls")),
    path("", include("cases.urls")),
    path("", include("inference.urls")),
    path("", include("reader_study.urls")),
    path("", include("reader_study.study_urls")),
    path("", include("reader_study.analysis_urls")),
    path("api/v1/", include("leukoweb.api_urls")),
]

handler400 = "leukoweb.core.views.errors.bad_request"
handler403 = "leukoweb.core.views.errors.forbidden"
handler404 = "leukoweb.core.views.errors.not_found"
handler500 = "leukoweb.core.views.errors.server_error"
