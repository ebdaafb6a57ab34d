"""Styles and scripts under names that hold their hash: kept by browsers for good, and never an old one beside a new."""

from __future__ import annotations

from whitenoise.storage import CompressedManifestStaticFilesStorage as Base

_IMPORTS = Base._js_module_import_aggregation_patterns[1]  # what Django's own switch would look for, in every library


class HashedStaticFiles(Base):
    """Also what our ES modules import is named by its hash; without this only the first module of a page is."""

    patterns = (*Base.patterns, ("leukoweb/js/*.js", _IMPORTS))
