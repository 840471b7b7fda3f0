"""Runs Larq Compute Engine models on stock LiteRT: no TensorFlow, no Larq."""

from larq_bcd_runtime.delegate import describe, library_path, load
from larq_bcd_runtime.images import Classifier, classify, read_image
from larq_bcd_runtime.interpreter import Interpreter, ModelError, TensorDetail
from larq_bcd_runtime.model_file import ModelFile, Preprocessing

__all__ = [
    "Classifier",
    "Interpreter",
    "ModelError",
    "ModelFile",
    "Preprocessing",
    "TensorDetail",
    "classify",
    "describe",
    "library_path",
    "load",
    "read_image",
]
