"""Why a layer that trains as binary ships as float, in words."""

import numpy as np
import tensorflow as tf

from larq_bcd._binary import COMPARISONS, quantizer_name
from larq_bcd.convert.graph import InferenceGraph, WeightedOp, source_of
from larq_bcd.convert.match import Match, has_one_scale
from larq_bcd.tflite.signs import WORD

_DENSE = frozenset({"MatMul", "BatchMatMulV2", "Einsum", "SparseMatMul"})
_UNSUPPORTED = {
    "DepthwiseConv2dNative": "depthwise and separable convolutions are not supported as "
    "binary: use QuantConv2D",
    "Conv2DBackpropInput": "transposed convolutions are not supported as binary: use "
    "UpSampling2D and QuantConv2D",
    "Conv3D": "3-D convolutions are not supported as binary: use QuantConv2D",
    "Conv3DBackpropInputV2": "3-D convolutions are not supported as binary: use QuantConv2D",
}
_LOCALLY_CONNECTED = (
    tf.keras.layers.LocallyConnected1D,
    tf.keras.layers.LocallyConnected2D,
)
DENSE = (
    "dense layers are not supported as binary: use Reshape((1, 1, channels)), a 1x1 "
    "QuantConv2D and Flatten, or --dense-as-convolution, with which the file has the same"
)
FIRST = "its input is the model's own, which is real: as a first layer it ships as float"
PRODUCT_OF_ACTIVATIONS = (
    "it multiplies activations with each other, for which Larq Compute Engine has no binary "
    "operator"
)
_ELEMENTWISE = frozenset(
    [
        "Add",
        "AddV2",
        "Sub",
        "Mul",
        "RealDiv",
        "Neg",
        "Maximum",
        "Minimum",
        "Relu",
        "Identity",
        "IdentityN",
        "AvgPool",
    ]
)


def trains_as_binary(layer: WeightedOp, graph: InferenceGraph) -> bool:
    """Whether a layer is meant to be binary: its kernel is, and it is not the first layer.

    A first layer takes the real input of the model, by the convention of binary networks.

    Args:
        layer: a convolution or dense layer.
        graph: the inference graph of the Keras model.
    """
    return layer.is_binary and not is_real_first(layer, graph)


def is_real_first(layer: WeightedOp, graph: InferenceGraph) -> bool:
    """Whether a layer works on the input of the model, which nothing quantizes."""
    return layer.input_quantizer is None and graph.is_first(layer)


def is_dense(layer: WeightedOp, graph: InferenceGraph) -> bool:
    """Whether nothing but its being dense keeps a layer of binary weights in float."""
    return _reason_of_layer(layer, graph) == DENSE


def reason_for_float(match: Match, graph: InferenceGraph) -> str:
    """Says what keeps a layer of binary weights from becoming an LceBconv2d.

    Args:
        match: a layer that trains as binary, and the operator it became, if it was found.
        graph: the inference graph of the Keras model.

    Returns:
        A clause without a full stop, with what to do where that is known.
    """
    return _reason_of_layer(match.layer, graph) or _reason_of_operator(match)


def expected_reasons(model: tf.keras.Model) -> dict[str, str]:
    """Says, without converting, what would keep layers of a model from becoming binary.

    Args:
        model: a built model with one input of fixed height, width and channels.

    Returns:
        The clause of `reason_for_float` by name of the layer, as the report has it.
    """
    graph = InferenceGraph(model)
    reasons = dict.fromkeys(graph.sign_products, PRODUCT_OF_ACTIVATIONS)
    for layer in graph.weighted_ops:
        if trains_as_binary(layer, graph) and (reason := _reason_of_layer(layer, graph)):
            reasons[layer.name] = reason
    return reasons


def _reason_of_layer(layer: WeightedOp, graph: InferenceGraph) -> str | None:
    if isinstance(layer.layer, tf.keras.layers.Conv1D):
        return "1-D convolutions are not supported as binary: use QuantConv2D"
    if isinstance(layer.layer, _LOCALLY_CONNECTED):
        return "locally connected layers are not supported as binary: use QuantConv2D"
    if layer.op.type in _UNSUPPORTED:
        return _UNSUPPORTED[layer.op.type]
    if layer.data.dtype in (tf.float16, tf.bfloat16):
        return (
            f"it computes in {layer.data.dtype.name}, as its operations were exported: export "
            "the model in float32, or save it with model.save, whose layers are built anew in "
            "it"
        )
    reason = _reason_of_kernel(layer) or _reason_of_input(layer, graph)
    if layer.op.type in _DENSE:
        return reason or DENSE
    return reason or _reason_of_padding(layer, graph) or _reason_of_groups(layer)


def _reason_of_kernel(layer: WeightedOp) -> str | None:
    if has_one_scale(layer):
        return None
    if not np.isfinite(layer.kernel).all():
        return (
            "its kernel has values that are not finite: train it again, or take an earlier "
            "checkpoint"
        )
    subject = (
        "its kernel"
        if layer.quantizer is None
        else f"the kernel quantizer {quantizer_name(layer.quantizer)}"
    )
    verb = "is not" if layer.quantizer is None else "does not give"
    return (
        f"{subject} {verb} plus or minus one scale for each output channel: use ste_sign, "
        "magnitude_aware_sign or scaled_sign"
    )


def _reason_of_input(layer: WeightedOp, graph: InferenceGraph) -> str | None:
    source = source_of(layer.data)
    quantizer = layer.input_quantizer
    if source.others:
        if layer.variable == "pointwise_kernel":
            return (
                f"{type(layer.layer).__name__} takes no sign between its two convolutions, so "
                "that the second works on real values: use QuantDepthwiseConv2D, and a 1x1 "
                "QuantConv2D with an input_quantizer"
            )
        subject = (
            "its input"
            if quantizer is None
            else f"the input quantizer {quantizer_name(quantizer)}"
        )
        if comparison := _comparison_behind(source.others[0]):
            return (
                f"{subject} is made of a comparison ({comparison.type}) in a way that Larq "
                "Compute Engine does not take for a sign: use ste_sign of what is compared "
                "less the threshold, or tf.where(x >= threshold, 1.0, -1.0)"
            )
        if quantizer is None and source.others[0].op.type == "Sign":
            return (
                f"{subject} is tf.sign, which is 0 where its own input is: use ste_sign, which "
                "is +1 there"
            )
        if quantizer is not None:
            return (
                f"the input quantizer {quantizer_name(quantizer)} is not a plain sign of +1 "
                "and -1: use ste_sign, approx_sign or swish_sign"
            )
        op = source.others[0].op
        if any(_is_made_of_sign(tensor) for tensor in source.others):
            return (
                f"{graph.describe(op)} computes with the sign before the convolution: move it "
                "before the sign or after the convolution"
            )
        return (
            "only the kernel is quantized, the input is real: add an input_quantizer such as "
            "ste_sign"
        )
    return None


def _comparison_behind(tensor: tf.Tensor) -> tf.Operation | None:
    """The comparison that decides between the values of a tensor, if nothing else does."""
    op = tensor.op
    if op.type in COMPARISONS:
        return op
    if op.type in ("Select", "SelectV2"):
        return _comparison_behind(op.inputs[0])
    if op.type not in (*_ELEMENTWISE, "Cast", "LogicalNot"):
        return None
    found = [_comparison_behind(operand) for operand in op.inputs if operand.op.type != "Const"]
    return found[0] if found and None not in found else None


def _is_made_of_sign(tensor: tf.Tensor) -> bool:
    op = tensor.op
    return op.type == "Sign" or (
        op.type in _ELEMENTWISE and any(_is_made_of_sign(operand) for operand in op.inputs)
    )


def _reason_of_padding(layer: WeightedOp, graph: InferenceGraph) -> str | None:
    between = list(source_of(layer.data).between)
    pad_values = getattr(layer.layer, "pad_values", 0.0)
    if between and layer.layer.name in between[0].name.split("/"):
        if not pad_values:
            return (
                "its zeros of padding stand between the sign and the convolution: use "
                "pad_values=1.0, or let its own input_quantizer take the sign"
            )
        if pad_values != 1.0:
            return f"pad_values={pad_values:g} is not supported as binary: use 1.0 or 0.0"
        del between[0]  # The converter makes a border of +1 a part of the convolution.
    if not between:
        return None
    names = " and ".join(dict.fromkeys(graph.describe(op) for op in reversed(between)))
    verb = "stands" if len(set(between)) == 1 else "stand"
    return f"{names} {verb} between the sign and the convolution: move it before the sign"


def _reason_of_groups(layer: WeightedOp) -> str | None:
    groups = getattr(layer.layer, "groups", 1)
    channels = layer.kernel.shape[-2]
    if groups > 1 and channels % WORD:
        return (
            f"groups={groups} leaves {channels} channels in each group, which is not a "
            f"multiple of {WORD}: use groups=1"
        )
    return None


def _reason_of_operator(match: Match) -> str:
    if match.node is None:
        return "no operator of the flatbuffer holds its weights"
    producer = match.node.data.producer
    feeder = producer.type if producer else "the model's input"
    return f"{match.node.type} with {feeder} before it was not recognized by the converter"
