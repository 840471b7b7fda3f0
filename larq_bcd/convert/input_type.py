"""Images that go into the file as bytes: the normalization becomes part of it."""

from dataclasses import dataclass

import numpy as np

from larq_bcd._choices import INPUT_TYPES
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.inputs import Normalization
from larq_bcd.tflite.graph import Graph, Rewrite, Value
from larq_bcd.tflite.quantization import quantization

_WHITE = 255


@dataclass(frozen=True)
class InputEncoding:
    """How the pixels of an image go into a file.

    Attributes:
        kind: `"float32"`, normalized pixels; `"uint8"`, pixels of 0 to 255; `"int8"`, pixels
            less 128.
        normalize: what the model expects of its caller.
    """

    kind: str
    normalize: Normalization

    def __post_init__(self) -> None:
        if self.kind not in INPUT_TYPES:
            raise ConversionError(
                f"input_type={self.kind!r} is not supported: give one of "
                f"{', '.join(INPUT_TYPES)}."
            )

    @property
    def zero_point(self) -> int:
        """The value of a black pixel."""
        return -128 if self.kind == "int8" else 0

    def encode(self, images: np.ndarray) -> np.ndarray:
        """What the file takes, of what the model takes; float32 stays as it is."""
        if self.kind == "float32":
            return images
        mean, std = np.array(self.normalize.mean), np.array(self.normalize.std)
        pixels = np.rint((images * std + mean) * _WHITE).clip(0, _WHITE)
        return (pixels + self.zero_point).astype(self.kind)

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """What the model takes, of what the file takes."""
        if self.kind == "float32":
            return encoded
        return self.normalize((encoded.astype(np.float64) - self.zero_point) / _WHITE)


def set_input_type(graph: Graph, encoding: InputEncoding) -> Rewrite:
    """Lets a file take bytes, which it turns into normalized pixels itself.

    Three operators before all others: DEQUANTIZE to [0, 1], MUL by 1 / std, ADD of
    -mean / std; what is 1 or 0 for all channels is left out. They are explicit, because the
    mean cannot go through a padding with zeros of the normalized image.

    Args:
        graph: with one float32 input of shape (1, ..., channels); it is changed.
        encoding: of the pixels; float32 leaves all as it is.

    Returns:
        The names of the operators.

    Raises:
        ConversionError: if the file's input is not float32.
    """
    (image,) = graph.inputs
    if encoding.kind in ("float32", str(image.dtype)):
        return Rewrite()
    if image.dtype != np.float32:
        raise ConversionError(
            f"input_type={encoding.kind!r}: the model takes {image.dtype}, not float32, so "
            "that there is nothing to normalize: leave it out."
        )
    std = np.array(encoding.normalize.std, np.float64)
    mean = np.array(encoding.normalize.mean, np.float64)

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
    image.dtype = np.dtype(encoding.kind)
    image.quantization = quantization(
        np.array([1 / _WHITE], np.float32), zero_point=encoding.zero_point
    )
    graph.tidy()
    return Rewrite([image.name])
