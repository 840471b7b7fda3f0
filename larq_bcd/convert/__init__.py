"""From a trained Keras model to a checked Larq Compute Engine file."""

from larq_bcd._files import write_atomically
from larq_bcd.convert.check import CheckReport, LayerCheck
from larq_bcd.convert.errors import CheckError, ConversionError, FloatFallbackError
from larq_bcd.convert.fold import merge_heads
from larq_bcd.convert.input_shapes import with_input_shapes
from larq_bcd.convert.load import load_model
from larq_bcd.convert.options import FileOptions
from larq_bcd.convert.pipeline import convert
from larq_bcd.convert.report import (
    ConversionReport,
    LayerReport,
    OptimizationReport,
    TensorReport,
)
from larq_bcd.convert.result import ConversionResult

__all__ = [
    "CheckError",
    "CheckReport",
    "ConversionError",
    "ConversionReport",
    "ConversionResult",
    "FileOptions",
    "FloatFallbackError",
    "LayerCheck",
    "LayerReport",
    "OptimizationReport",
    "TensorReport",
    "convert",
    "load_model",
    "merge_heads",
    "with_input_shapes",
    "write_atomically",
]


def __dir__() -> list[str]:
    return __all__
