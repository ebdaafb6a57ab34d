from __future__ import annotations

from typing import Any

import pytest

from reader_study.analysis.run import analyse
from tests.reader_study.analysis.documents import small, told_study
from tests.reader_study.analysis.read_studies import PIPELINE, read
from tests.reader_study.factories import MadeStudy, make_study


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    return small(resamples=20)


@pytest.fixture(scope="session")
def result(document: dict[str, Any]) -> dict[str, Any]:
    return analyse(document, version="0")


@pytest.fixture(scope="session")
def told() -> dict[str, Any]:
    return told_study()


@pytest.fixture(scope="session")
def told_result(told: dict[str, Any]) -> dict[str, Any]:
    return analyse(told, version="0")


@pytest.fixture
def made(coordinator: Any, make_user: Any) -> MadeStudy:
    """Two readers, the first read twice, all sealed; not unblinded yet."""
    readers = [make_user("pathologist"), make_user("pathologist")]
    study = make_study(
        users=readers, coordinator=coordinator, n_cases=10, sessions=("blinded", "blinded"), materialise=False,
        ai={"primary": PIPELINE, "comparators": []},
        endpoints=[{"metric": "accuracy", "role": "primary", "comparison": "ai_vs_reader_mean"}],
    )  # fmt: skip
    for index, session in enumerate(study.sessions):
        read(session, study, wrong=1 + index % 2)
    return study
