"""Images that go into the file as bytes: the normalization becomes part of it."""

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.errors import ConversionError
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.tflite.editor import Editor
from larq_bcd.tflite.flatbuffer import Flatbuffer

_WHITE = 255


def set_input_type(flatbuffer: Flatbuffer, preprocessing: Preprocessing) -> Flatbuffer:
    """Lets a file take bytes, which it turns into normalized pixels itself.

    Three operators before all others: DEQUANTIZE to [0, 1], MUL by 1 / std, ADD of
    -mean / std; what is 1 or 0 for all channels is left out. They are explicit, because the
    mean cannot go through a padding with zeros of the normalized image.

    Args:
        flatbuffer: with one float32 input of shape (1, ..., channels); it is not changed.
        preprocessing: of the images; the encoding float32 leaves all as it is.

    Raises:
        ConversionError: if the file's input is no float32.
    """
    kind = preprocessing.encoding
    if kind == "float32":
        return flatbuffer
    (given,) = flatbuffer.inputs
    if given.dtype == kind:
        return flatbuffer
    if given.dtype != "float32":
        raise ConversionError(
            f"input_type={kind!r}: the model takes {given.dtype}, not float32, so "
            "that there is nothing to normalize: leave it out."
        )
    editor = Editor(flatbuffer)
    image = editor.inputs[0]
    readers = editor.uses(image)
    std = np.array(preprocessing.std, np.float64)
    mean = np.array(preprocessing.mean, np.float64)

    current = editor.add_tensor(given.shape, np.float32, f"{given.name}/pixels")
    editor.add_node("DEQUANTIZE", [image], [current], schema.DequantizeOptionsT(), version=2)
    for operator, values, neutral, options in (
        ("MUL", 1 / std, 1.0, schema.MulOptionsT()),
        ("ADD", -mean / std, 0.0, schema.AddOptionsT()),
    ):
        if np.all(values == neutral):
            continue
        after = editor.add_tensor(given.shape, np.float32, f"{given.name}/{operator.lower()}")
        constant = editor.add_constant(values.astype(np.float32), f"{given.name}/{operator}")
        editor.add_node(operator, [current, constant], [after], options)
        current = after
    for node, position in readers:
        editor.set_input(node, position, current)
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.array([1 / _WHITE], np.float32)
    quantization.zeroPoint = np.array([preprocessing.black], np.int64)
    packed = editor.tensors[image]
    packed.type = getattr(schema.TensorType, kind.upper())
    packed.quantization = quantization
    return editor.finish()
