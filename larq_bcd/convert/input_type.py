"""Images that go into the file as bytes: the normalization becomes part of it."""

import numpy as np

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
        graph: is changed.
        preprocessing: of the images, which are the float32 inputs of its shape; the encoding
            float32 leaves all as it is.

    Returns:
        The names of the inputs that are changed.
    """
    if preprocessing.encoding == "float32":
        return Rewrite()
    images = [
        value
        for value in graph.inputs
        if value.dtype == np.float32 and value.shape[1:] == preprocessing.input_shape
    ]
    for image in images:
        _normalize(graph, image, preprocessing)
    graph.tidy()
    return Rewrite([image.name for image in images])


def _normalize(graph: Graph, image: Value, preprocessing: Preprocessing) -> None:
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
    image.dtype = np.dtype(preprocessing.encoding)
    image.quantization = quantization(
        np.array([1 / _WHITE], np.float32), zero_point=preprocessing.black
    )
