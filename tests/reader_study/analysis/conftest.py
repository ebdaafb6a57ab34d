from __future__ import annotations

from typing import Any

import pytest

from reader_study.analysis.run import analyse
from tests.reader_study.analysis.documents import small


@pytest.fixture(scope="session")
def document() -> dict[str, Any]:
    return small(resamples=20)


@pytest.fixture(scope="session")
def result(document: dict[str, Any]) -> dict[str, Any]:
    return analyse(document, version="0")
