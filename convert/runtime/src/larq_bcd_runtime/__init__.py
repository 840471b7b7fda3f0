"""Runs Larq Compute Engine models on stock LiteRT: no TensorFlow, no Larq."""

from larq_bcd_runtime.delegate import library_path, load
from larq_bcd_runtime.interpreter import Interpreter, ModelError, TensorDetail

__all__ = ["Interpreter", "ModelError", "TensorDetail", "library_path", "load"]
