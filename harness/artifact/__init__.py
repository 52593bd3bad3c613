"""What a model file or folder is, found out without TensorFlow and without running anything in it."""

from harness.artifact.bounded import sniff
from harness.artifact.keras_config import layer_name, walk_layers
from harness.artifact.kinds import Artifact, Kind, LambdaLayer, ModelInput, Tensor
from harness.artifact.pairing import Sources, find_sources
from harness.artifact.requirement import require_keras_model
from harness.artifact.versions import tensorflow_versions, written_by

__all__ = [
    "Artifact",
    "Kind",
    "LambdaLayer",
    "ModelInput",
    "Sources",
    "Tensor",
    "find_sources",
    "layer_name",
    "require_keras_model",
    "sniff",
    "tensorflow_versions",
    "walk_layers",
    "written_by",
]
