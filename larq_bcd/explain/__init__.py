"""What a network looks at, and what its signs lose."""

from larq_bcd.explain.attribution import effective_receptive_field, feature_layer, grad_cam
from larq_bcd.explain.binarization import BinarizationError, binarization_errors
from larq_bcd.explain.thresholds import Thresholds, chosen_thresholds

__all__ = [
    "BinarizationError",
    "Thresholds",
    "binarization_errors",
    "chosen_thresholds",
    "effective_receptive_field",
    "feature_layer",
    "grad_cam",
]


def __dir__() -> list[str]:
    return __all__
