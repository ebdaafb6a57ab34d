from django.urls import path

from reader_study.views import desk, reading

# Blind: everything under read/ (docs/blinding.md). A new address needs a row in tests/reader_study/test_matrix.py.
urlpatterns = [
    path("read/", reading.reading_home, name="reading_home"),
    path("read/unlock/", reading.reading_unlock, name="reading_unlock"),
    path("read/unlock/here/", desk.desk_unlock, name="reading_desk_unlock"),
    path("read/<str:session>/", reading.reading_start, name="reading_start"),
    path("read/<str:session>/board/", reading.reading_board, name="reading_board"),
    path("read/<str:session>/seal/", reading.reading_seal, name="reading_seal"),
    path("read/<str:session>/state/", desk.desk_state, name="reading_desk_state"),
    path("read/<str:session>/next/", desk.desk_next, name="reading_desk_next"),
    path("read/<str:session>/case/<str:case>/", desk.desk_case, name="reading_desk_case"),
    path("read/<str:session>/case/<str:case>/show/", desk.desk_show, name="reading_desk_show"),
    path("read/<str:session>/case/<str:case>/answer/", desk.desk_answer, name="reading_desk_answer"),
    path("read/<str:session>/case/<str:case>/seen/", desk.desk_seen, name="reading_desk_seen"),
    path("read/<str:session>/image/<str:image>/", desk.desk_image, name="reading_desk_image"),
    path("read/<str:session>/image/<str:image>/small/", desk.desk_small, name="reading_desk_small"),
]
