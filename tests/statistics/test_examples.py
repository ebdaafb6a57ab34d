"""The examples in the documentation strings give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import leukoweb.statistics

MODULES = sorted(module.name for module in pkgutil.iter_modules(leukoweb.statistics.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"leukoweb.statistics.{name}"))
    assert failed == 0
