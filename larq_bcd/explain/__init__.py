"""What a network looks at: receptive fields, thresholds, class activation."""

from larq_bcd.explain.attribution import effective_receptive_field, feature_layer, grad_cam
from larq_bcd.explain.thresholds import Thresholds, chosen_thresholds

__all__ = [
    "Thresholds",
    "chosen_thresholds",
    "effective_receptive_field",
    "feature_layer",
    "grad_cam",
]


def __dir__() -> list[str]:
    return __all__
