from inference.models.predictions import ImagePrediction, PatientPrediction, SlideContents
from inference.models.registry import ModelCalibration, ModelVersion, PipelineVersion
from inference.models.runs import PipelineRun
from inference.models.training import Evaluation, Promotion, TrainingEpoch, TrainingNote, TrainingPart, TrainingRun

__all__ = [
    "Evaluation",
    "ImagePrediction",
    "ModelCalibration",
    "ModelVersion",
    "PatientPrediction",
    "PipelineRun",
    "PipelineVersion",
    "Promotion",
    "SlideContents",
    "TrainingEpoch",
    "TrainingNote",
    "TrainingPart",
    "TrainingRun",
]
