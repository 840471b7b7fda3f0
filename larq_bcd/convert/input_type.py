"""Images that go into the file as bytes: the normalization becomes part of it."""

from dataclasses import dataclass

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd._choices import INPUT_TYPES
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.inputs import Normalization
from larq_bcd.tflite.editor import Editor
from larq_bcd.tflite.flatbuffer import Flatbuffer

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


def set_input_type(flatbuffer: Flatbuffer, encoding: InputEncoding) -> Flatbuffer:
    """Lets a file take bytes, which it turns into normalized pixels itself.

    Three operators before all others: DEQUANTIZE to [0, 1], MUL by 1 / std, ADD of
    -mean / std; what is 1 or 0 for all channels is left out. They are explicit, because the
    mean cannot go through a padding with zeros of the normalized image.

    Args:
        flatbuffer: with one float32 input of shape (1, ..., channels); it is not changed.
        encoding: of the pixels; float32 leaves all as it is.

    Raises:
        ConversionError: if the file's input is no float32.
    """
    if encoding.kind == "float32":
        return flatbuffer
    (given,) = flatbuffer.inputs
    if given.dtype == encoding.kind:
        return flatbuffer
    if given.dtype != "float32":
        raise ConversionError(
            f"input_type={encoding.kind!r}: the model takes {given.dtype}, not float32, so "
            "that there is nothing to normalize: leave it out."
        )
    editor = Editor(flatbuffer)
    image = editor.inputs[0]
    readers = editor.uses(image)
    std = np.array(encoding.normalize.std, np.float64)
    mean = np.array(encoding.normalize.mean, np.float64)

    current = editor.add_tensor(given.shape, np.float32, f"{given.name}/pixels")
    editor.add_node("DEQUANTIZE", [image], [current], schema.DequantizeOptionsT(), version=2)
    for kind, values, neutral, options in (
        ("MUL", 1 / std, 1.0, schema.MulOptionsT()),
        ("ADD", -mean / std, 0.0, schema.AddOptionsT()),
    ):
        if np.all(values == neutral):
            continue
        after = editor.add_tensor(given.shape, np.float32, f"{given.name}/{kind.lower()}")
        constant = editor.add_constant(values.astype(np.float32), f"{given.name}/{kind}")
        editor.add_node(kind, [current, constant], [after], options)
        current = after
    for node, position in readers:
        editor.set_input(node, position, current)
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.array([1 / _WHITE], np.float32)
    quantization.zeroPoint = np.array([encoding.zero_point], np.int64)
    packed = editor.tensors[image]
    packed.type = getattr(schema.TensorType, encoding.kind.upper())
    packed.quantization = quantization
    return editor.finish()
