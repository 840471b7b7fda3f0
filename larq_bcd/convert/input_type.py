"""Images that go into the file as bytes: the normalization becomes part of it."""

import numpy as np

from larq_bcd.convert.errors import ConversionError
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.tflite.graph import Graph, Rewrite, Value
from larq_bcd.tflite.quantization import quantization

_WHITE = 255


def set_input_type(graph: Graph, preprocessing: Preprocessing) -> Rewrite:
    """Lets a file take bytes, which it turns into normalized pixels itself.

    Three operators before all others: DEQUANTIZE to [0, 1], MUL by 1 / std, ADD of
    -mean / std; what is 1 or 0 for all channels is left out. They are explicit, because the
    mean cannot go through a padding with zeros of the normalized image.

    Args:
        graph: with one float32 input of shape (1, ..., channels); it is changed.
        preprocessing: of the images; the encoding float32 leaves all as it is.

    Returns:
        The names of the operators.

    Raises:
        ConversionError: if the file's input is not float32.
    """
    (image,) = graph.inputs
    encoding = preprocessing.encoding
    if encoding in ("float32", str(image.dtype)):
        return Rewrite()
    if image.dtype != np.float32:
        raise ConversionError(
            f"input_type={encoding!r}: the model takes {image.dtype}, not float32, so "
            "that there is nothing to normalize: leave it out."
        )
    std = np.array(preprocessing.std, np.float64)
    mean = np.array(preprocessing.mean, np.float64)

    def following(suffix: str) -> Value:
        return Value.new(image.shape, np.float32, f"{image.name}/{suffix}")

    readers = list(image.uses)
    current = following("pixels")
    graph.add_node("DEQUANTIZE", [image], [current], version=2)
    for kind, values, neutral in (("MUL", 1 / std, 1.0), ("ADD", -mean / std, 0.0)):
        if np.any(values != neutral):
            constant = Value.of(values.astype(np.float32), f"{image.name}/{kind}")
            after = following(kind.lower())
            graph.add_node(kind, [current, constant], [after])
            current = after
    for node, position in readers:
        node.set_input(position, current)
    image.dtype = np.dtype(encoding)
    image.quantization = quantization(
        np.array([1 / _WHITE], np.float32), zero_point=preprocessing.black
    )
    graph.tidy()
    return Rewrite([image.name])
