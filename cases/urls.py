from django.urls import path

from cases.views import cohorts, images, patients, references, reviews, slides, sorting, uploads

urlpatterns = [
    path("cohorts/", cohorts.cohort_list, name="cohort_list"),
    path("cohorts/new/", cohorts.cohort_create, name="cohort_create"),
    path("cohorts/<int:pk>/", cohorts.cohort_detail, name="cohort_detail"),
    path("cohorts/<int:pk>/patients/", cohorts.cohort_patients, name="cohort_patients"),
    path("cohorts/<int:pk>/patients/new/", patients.patient_create, name="patient_create"),
    path("cohorts/<int:pk>/duplicates/", cohorts.cohort_duplicates, name="cohort_duplicates"),
    path("patients/<int:pk>/", patients.patient_detail, name="patient_detail"),
    path("patients/<int:pk>/slides/new/", patients.slide_create, name="slide_create"),
    path("patients/<int:pk>/recode/", patients.patient_recode, name="patient_recode"),
    path("patients/<int:pk>/withdraw/", patients.patient_withdraw, name="patient_withdraw"),
    path("patients/<int:pk>/references/", references.patient_references, name="patient_references"),
    path("references/", references.reference_list, name="reference_list"),
    path("slides/review/", reviews.slide_reviews, name="slide_reviews"),
    path("slides/<int:pk>/review/", reviews.slide_review, name="slide_review"),
    path("slides/<int:pk>/review/text/", reviews.slide_text_search, name="slide_text_search"),
    path("slides/<int:pk>/", slides.slide_detail, name="slide_detail"),
    path("slides/<int:pk>/change/", slides.slide_change, name="slide_change"),
    path("slides/<int:pk>/recode/", slides.slide_recode, name="slide_recode"),
    path("slides/<int:pk>/move/", slides.images_move, name="images_move"),
    path("images/<uuid:public_id>/", images.image_file, name="image_file"),
    path("images/<uuid:public_id>/thumb/", images.image_thumb, name="image_thumb"),
    path("images/<uuid:public_id>/preview/", images.image_preview, name="image_preview"),
    path("images/<uuid:public_id>/remove/", images.image_remove, name="image_remove"),
    path("images/<uuid:public_id>/view/", images.image_viewer, name="image_viewer"),
    path("sorting/", sorting.sorting_home, name="sorting_home"),
    path("sorting/<uuid:task_id>/board/", sorting.sorting_board, name="sorting_board"),
    path("upload/", uploads.upload, name="upload"),
]
