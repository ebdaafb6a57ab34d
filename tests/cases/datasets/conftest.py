from __future__ import annotations

from typing import Any

import pytest

from cases.models import Cohort, SortingTask
from tests.cases.datasets.rows import SMALL, cohort_make, labelled


@pytest.fixture(autouse=True)
def no_text_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of text has tests of its own and takes seconds to start."""
    monkeypatch.setattr("cases.text_hint.available", lambda: False)


@pytest.fixture
def small(db: Any) -> tuple[Cohort, SortingTask]:
    """A development cohort of ten patients, two of each class, sorted."""
    cohort, labels = cohort_make("Training", SMALL)
    return cohort, labelled(cohort, labels)
