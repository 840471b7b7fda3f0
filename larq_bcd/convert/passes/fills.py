"""Constants that the converter leaves to the interpreter."""

import numpy as np

from larq_bcd.tflite.editor import Editor
from larq_bcd.tflite.flatbuffer import Flatbuffer


def write_out_fills(flatbuffer: Flatbuffer) -> Flatbuffer:
    """Puts large constants of one value into the file.

    TensorFlow's converter replaces such a constant by a FILL, which every inference repeats.
    They are the kernels of a network that has not been trained: without them neither its size
    nor its latency would be those of the trained one, and no layer is known by its weights.

    Args:
        flatbuffer: what a model was converted to.

    Returns:
        A flatbuffer with constants in place of each FILL of constants; the same one if there
        is none.
    """
    editor = Editor(flatbuffer)
    filled = 0
    for node in list(editor.nodes):
        if node.type != "FILL":
            continue
        shape, value = (editor.constant(tensor) for tensor in node.inputs)
        if shape is None or value is None:
            continue
        quantization = editor.tensors[node.output].quantization
        constant = editor.add_constant(
            np.full(shape, value), editor.name(node.output), quantization
        )
        editor.redirect(node.output, constant)
        filled += 1
    return editor.finish() if filled else flatbuffer
