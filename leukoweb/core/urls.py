from django.urls import path

from leukoweb.core.views import audit, health, help, jobs, users

urlpatterns = [
    path("join/<str:secret>/", users.join, name="join"),
    path("users/", users.user_list, name="user_list"),
    path("users/new/", users.user_create, name="user_create"),
    path("users/<int:pk>/invite/", users.user_invite, name="user_invite"),
    path("users/<int:pk>/change/", users.user_change, name="user_change"),
    path("users/<int:pk>/second-factor/remove/", users.user_second_factor_remove, name="user_second_factor_remove"),
    path("users/<int:pk>/name/", users.user_name, name="user_name"),
    path("users/<int:pk>/email/", users.user_email, name="user_email"),
    path("jobs/", jobs.job_list, name="job_list"),
    path("jobs/<uuid:pk>/progress/", jobs.job_progress, name="job_progress"),
    path("jobs/<uuid:pk>/cancel/", jobs.job_cancel, name="job_cancel"),
    path("jobs/<uuid:pk>/retry/", jobs.job_retry, name="job_retry"),
    path("health/", health.health, name="health"),
    path("metrics", health.metrics, name="metrics"),
    path("help/", help.help_home, name="help"),
    path("help/words/", help.help_words, name="help_words"),
    path("audit/", audit.audit_list, name="audit_list"),
    path("audit/events.<str:kind>", audit.audit_file, name="audit_file"),
]
