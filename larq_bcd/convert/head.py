"""The classifier's weights in fewer bits: what is lost is said, not hidden.

The stem stays float32, unless `stem.py` is asked for. Its weights rounded to int8 would make
BCDNet-A smaller by 2 kB of 10.1 MB and BiRealNet18, with its 7x7 stem, by 27 kB of 4.2 MB; but
what the stem computes is signed next. 0.11 % and 0.01 % of the first signs flip, 0.15 % and
0.43 % of the last, and the check could no longer tell that from a fault. The head's rounding
flips none.
"""

import numpy as np

from larq_bcd._choices import HEADS
from larq_bcd.convert.errors import ConversionError
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, QUANTIZE
from larq_bcd.tflite.quantization import per_channel_int8, quantization

_WEIGHTED = (BINARY_CONVOLUTION, QUANTIZE, "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# The first version of DEQUANTIZE that takes float16, and one scale for each channel.
_FLOAT16_VERSION, _PER_CHANNEL_VERSION = 3, 5


def _heads(graph: Graph) -> list[Node]:
    """Dense layers that no convolution, dense layer or sign comes after."""
    heads: list[Node] = []
    pending, seen = list(graph.outputs), set()
    while pending:
        node = pending.pop().producer
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.type == "FULLY_CONNECTED":
            heads.append(node)
        elif node.type not in _WEIGHTED:
            pending += node.operands
    return heads


def quantize_head(graph: Graph, kind: str) -> Rewrite:
    """Stores the weights of the dense layers before the outputs in fewer bits.

    A DEQUANTIZE turns them into float32 when the file is loaded, once: activations and sums
    stay float32, and every kernel of TensorFlow Lite since 2.5 runs it. A FULLY_CONNECTED
    that multiplies int8 itself rounds features and logits too, and would save a thousandth of
    the instructions of ReActNet-18: so a calibration is for the stem alone.

    Args:
        graph: is changed.
        kind: `"float16"`, `"int8"`, or `"float32"`, which leaves all as it is.

    Returns:
        The names of the weights.

    Raises:
        ConversionError: if `kind` is another one, or the file has no head of its own.
    """
    if kind not in HEADS:
        raise ConversionError(
            f"head={kind!r} is not supported: give one of {', '.join(HEADS)}."
        )
    done = Rewrite()
    if kind == "float32":
        return done
    for node in _heads(graph):
        stored = node.operands[1]
        weights = stored.constant
        if weights is None or weights.dtype != np.float32:
            done.skipped.append(f"{node.output.name}: its weights are not a float32 constant")
            continue
        name = stored.name
        if kind == "float16":
            packed = Value.of(weights.astype(np.float16), f"{name}/float16")
            version = _FLOAT16_VERSION
        else:
            values, scales = per_channel_int8(weights)
            packed = Value.of(values, f"{name}/int8", quantization(scales))
            version = _PER_CHANNEL_VERSION
        wide = Value.new(weights.shape, np.float32, f"{name}/dequantized")
        graph.add_node("DEQUANTIZE", [packed], [wide], version)
        node.set_input(1, wide)
        done.changed.append(name)
    if not done.changed:
        raise ConversionError(
            f"head={kind!r}: no dense layer stands before the outputs: leave it out."
        )
    graph.tidy()
    return done
