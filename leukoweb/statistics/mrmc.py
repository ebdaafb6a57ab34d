"""Multi-reader multi-case analysis."""

from __future__ import annotations

from leukoweb.statistics.mrmc_ai import AiVersusReaders, ai_versus_readers, ai_versus_readers_auc, from_covariance

__all__ = ["AiVersusReaders", "ai_versus_readers", "ai_versus_readers_auc", "from_covariance"]
