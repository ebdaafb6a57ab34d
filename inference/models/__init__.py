from inference.models.predictions import ImagePrediction, PatientPrediction
from inference.models.registry import ModelVersion, PipelineVersion
from inference.models.runs import PipelineRun

__all__ = ["ImagePrediction", "ModelVersion", "PatientPrediction", "PipelineRun", "PipelineVersion"]
