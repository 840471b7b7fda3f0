"""larq_bcd_runtime, where it is installed: the same but for rounding, many times faster."""

import os
from collections.abc import Callable

import numpy as np

NAME = "larq_bcd_runtime"
_MOST_THREADS = 64

# From an input of a batch of one to a list of outputs.
Predict = Callable[[np.ndarray], list[np.ndarray]]


def predictors(
    contents: tuple[bytes, bytes],
) -> tuple[str, tuple[Predict, Predict] | None]:
    """Opens two flatbuffers with larq_bcd_runtime.

    Returns:
        Its name and what runs them; or the reason why it cannot, a part of it that is missing
        included, empty if it is not installed, and None.
    """
    try:
        import larq_bcd_runtime
    except ImportError:
        return "", None
    threads = min(os.cpu_count() or 1, _MOST_THREADS)

    def opened(content: bytes) -> Predict:
        running = larq_bcd_runtime.Interpreter(content, num_threads=threads)

        def predict(x: np.ndarray) -> list[np.ndarray]:
            outputs = running.predict(x)
            return outputs if isinstance(outputs, list) else [outputs]

        return predict

    try:
        first, second = (opened(content) for content in contents)
    except (larq_bcd_runtime.ModelError, ImportError, OSError) as refusal:
        return f"{NAME} cannot run the file: {refusal}", None
    return NAME, (first, second)
