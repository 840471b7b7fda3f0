"""What a classifier, a Keras model or a file, gets right."""

from larq_bcd.evaluation.accuracy import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]


def __dir__() -> list[str]:
    return __all__
