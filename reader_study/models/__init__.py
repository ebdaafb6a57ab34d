from reader_study.models.analyses import Analysis, AnalysisResult
from reader_study.models.evaluators import ImportedEvaluator, ImportedPrediction
from reader_study.models.readings import Reading, SessionSeal
from reader_study.models.sessions import (
    CaseIdentity,
    DraftEvent,
    DraftReading,
    ReadingSession,
    SessionAssistance,
    SessionCase,
    SessionImage,
)
from reader_study.models.studies import ProtocolVersion, Study, StudyCase, StudyReader, Unblinding

__all__ = [
    "Analysis",
    "AnalysisResult",
    "CaseIdentity",
    "DraftEvent",
    "DraftReading",
    "ImportedEvaluator",
    "ImportedPrediction",
    "ProtocolVersion",
    "Reading",
    "ReadingSession",
    "SessionAssistance",
    "SessionCase",
    "SessionImage",
    "SessionSeal",
    "Study",
    "StudyCase",
    "StudyReader",
    "Unblinding",
]
