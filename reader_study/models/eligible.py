"""Who may read whom, as conditions of the database: what the services refuse cannot be inserted past them either.

The same contacts as in ``selectors.eligibility``, which says them in words; docs/decisions/0513 says what a condition
cannot hold. SQL that SQLite and PostgreSQL both understand.
"""

from __future__ import annotations

from typing import Final

REFUSAL: Final = "this reader coordinates the study or has met one of these patients"

_MET: Final = """(
  EXISTS (SELECT 1 FROM cases_exposure e WHERE e.user_id = r.user_id AND e.patient_id = k.patient_id)
  OR EXISTS (SELECT 1 FROM cases_referencediagnosis d
             WHERE d.entered_by_id = r.user_id AND d.patient_id = k.patient_id)
  OR EXISTS (SELECT 1 FROM cases_sortingseat t JOIN cases_sortingdecision s ON s.seat_id = t.id
             JOIN cases_hpfimage i ON i.id = s.image_id JOIN cases_slide l ON l.id = i.slide_id
             WHERE t.user_id = r.user_id AND l.patient_id = k.patient_id)
  OR EXISTS (SELECT 1 FROM cases_sortingseat t JOIN cases_adjudicationdecision s ON s.seat_id = t.id
             JOIN cases_hpfimage i ON i.id = s.image_id JOIN cases_slide l ON l.id = i.slide_id
             WHERE t.user_id = r.user_id AND l.patient_id = k.patient_id)
  OR EXISTS (SELECT 1 FROM reader_study_studyreader o JOIN reader_study_readingsession z ON z.reader_id = o.id
             JOIN reader_study_sessioncase c ON c.session_id = z.id
             JOIN reader_study_caseidentity n ON n.case_id = c.id
             JOIN reader_study_studycase m ON m.id = n.study_case_id
             WHERE o.user_id = r.user_id AND o.study_id <> r.study_id
             AND (c.opened_at IS NOT NULL OR z.state IN ('planned', 'open')) AND m.patient_id = k.patient_id)
  OR EXISTS (SELECT 1 FROM reader_study_studyreader o JOIN reader_study_readingsession z ON z.reader_id = o.id
             JOIN reader_study_reading g ON g.session_id = z.id
             JOIN reader_study_studycase m ON m.id = g.study_case_id
             WHERE o.user_id = r.user_id AND o.study_id <> r.study_id AND m.patient_id = k.patient_id))"""

_COORDINATES: Final = """EXISTS (SELECT 1 FROM reader_study_study_coordinators p
  WHERE p.study_id = {study} AND p.user_id = {user})"""

READER: Final = "NOT " + _COORDINATES.format(study="NEW.study_id", user="NEW.user_id")
"""A new reader does not coordinate the study. A reader without a user reads elsewhere and passes."""

SESSION: Final = f"""NOT EXISTS (SELECT 1 FROM reader_study_studyreader r WHERE r.id = NEW.reader_id AND (
  {_COORDINATES.format(study="r.study_id", user="r.user_id")}
  OR EXISTS (SELECT 1 FROM reader_study_studycase k WHERE k.study_id = r.study_id AND {_MET})))"""  # noqa: S608  # nosec B608  our own words
"""A new session's reader does not coordinate the study and has met none of its patients."""

IDENTITY: Final = f"""NOT EXISTS (SELECT 1 FROM reader_study_sessioncase x
  JOIN reader_study_readingsession y ON y.id = x.session_id JOIN reader_study_studyreader r ON r.id = y.reader_id
  JOIN reader_study_studycase k ON k.id = NEW.study_case_id
  WHERE x.id = NEW.case_id AND (k.study_id <> r.study_id OR {_MET}))"""  # noqa: S608  # nosec B608  our own words
"""A case of a session is a patient of the same study whom its reader has never met."""

COORDINATOR: Final = """NOT EXISTS (SELECT 1 FROM reader_study_studyreader r
  WHERE r.study_id = NEW.study_id AND r.user_id = NEW.user_id AND r.withdrawn_at IS NULL)"""
"""A new coordinator does not read in the study (any more)."""
