"""Checks of types, and of the scales of quantized tensors."""

from larq_bcd_runtime.delegate import runtime
from larq_bcd_runtime.rules.rule import (
    BOOL,
    FLOAT32,
    INT4,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    Check,
    Operator,
    Tensor,
    require,
    type_name,
)

_QUANTIZED = {UINT8, INT16, INT8, INT4}
# Types of an input, of the weights that go with it, and of the bias that goes with these.
_WEIGHTS = {
    FLOAT32: ({FLOAT32, INT8, UINT8, INT4}, {FLOAT32}),
    INT8: ({INT8, INT4}, {INT32}),
    UINT8: ({UINT8}, {INT32}),
    INT16: ({INT8}, {INT32, INT64}),
}


def _names(kinds) -> str:
    return " or ".join(sorted(map(type_name, kinds)))


def _have_type_of(first: Tensor, others: list[Tensor], argument: str, model: str) -> None:
    for tensor in others:
        allowed = f"{type_name(first.kind)} as that of {model}"
        require(tensor.kind == first.kind, argument, type_name(tensor.kind), allowed)


def one_type(operator: Operator) -> None:
    """All tensors are of one type."""
    first, *others = operator.tensors
    _have_type_of(first, others, "the type of a tensor", "the first")


def keeps_type(operator: Operator) -> None:
    """Outputs have the first input's type."""
    (first,) = operator.first(1)
    _have_type_of(first, operator.outputs, "the type of the output", "input 0")


def compares(operator: Operator) -> None:
    """Two of one type give truth values."""
    first, second = operator.first(2)
    require(
        first.kind == second.kind,
        "the type of input 1",
        type_name(second.kind),
        f"{type_name(first.kind)} as that of input 0",
    )
    kind = operator.outputs[0].kind
    require(kind == BOOL, "the type of the output", type_name(kind), "bool")


def selects(operator: Operator) -> None:
    """Truth values choose between two of one type."""
    condition, first, second = operator.first(3)
    require(condition.kind == BOOL, "the type of input 0", type_name(condition.kind), "bool")
    for tensor in (second, operator.outputs[0]):
        require(
            tensor.kind == first.kind,
            "the type of a tensor",
            type_name(tensor.kind),
            f"{type_name(first.kind)} as that of input 1",
        )


def input_is(position: int, *kinds: int) -> Check:
    """An input has one of these types."""

    def check(operator: Operator) -> None:
        tensor = operator.input(position)
        if tensor is not None:
            argument = f"the type of input {position}"
            require(tensor.kind in kinds, argument, type_name(tensor.kind), _names(kinds))

    return check


def weighted(operator: Operator) -> None:
    """Weights and bias have types that go with the input's."""
    data, weights = operator.first(2)
    bias, output = operator.input(2), operator.outputs[0]
    require(
        data.kind in _WEIGHTS, "the type of input 0", type_name(data.kind), _names(_WEIGHTS)
    )
    of_weights, of_bias = _WEIGHTS[data.kind]
    require(
        weights.kind in of_weights,
        "the type of the weights",
        type_name(weights.kind),
        _names(of_weights),
    )
    if bias is not None:
        require(
            bias.kind in of_bias, "the type of the bias", type_name(bias.kind), _names(of_bias)
        )
    if data.kind == FLOAT32:
        require(
            output.kind == FLOAT32, "the type of the output", type_name(output.kind), "float32"
        )


def scaled(operator: Operator) -> None:
    """LiteRT divides by the scales of quantized activations, and aborts on what comes out."""
    _scaled(operator, 1e-30)


def scaled_product(operator: Operator) -> None:
    """Products get along with a scale of 0, which converters write for zeros."""
    _scaled(operator, 0)


def _scaled(operator: Operator, lowest: float) -> None:
    for tensor in operator.tensors:
        if tensor.kind not in _QUANTIZED or tensor.scales is None:
            continue
        # A slice of weights that are all 0 may have the scale 0; activations of int16 that are
        # almost 0, which XNNPACK never sees, the smallest that there is.
        least = 0 if len(tensor.data) else lowest if tensor.kind != INT16 else lowest * 1e-15
        require(
            bool(tensor.scales) and all(least <= scale < 1e30 for scale in tensor.scales),
            "the scale of a quantized tensor",
            tensor.scales[:4],
            f"finite and at least {least}",
        )
        require(
            all(-(2**15) <= point < 2**16 for point in tensor.zero_points),
            "the zero point of a quantized tensor",
            tensor.zero_points[:4],
            "of its type",
        )


def scales_of_a_sum(operator: Operator) -> None:
    """LiteRT aborts unless max(scales of the inputs) < 2**bits * (scale of the output)."""
    _require_shift(operator, _shift(operator) < 1)


def scales_of_a_difference(operator: Operator) -> None:
    """Likewise, but ai-edge-litert on equality only: converters write such scales for zeros."""
    shift = _shift(operator)
    is_new = runtime().__name__.startswith("ai_edge_litert")
    _require_shift(operator, shift < 1 or (shift > 1 and is_new))


def _shift(operator: Operator) -> float:
    """Returns max(scales of the inputs) / (2**bits * scale of the output); 0 of floats."""
    if not all(tensor.kind in _QUANTIZED and tensor.scales for tensor in operator.tensors):
        return 0
    *inputs, output = scales = _first_scales(operator)
    require(0 not in scales, "the list of scales", scales, "without 0")
    bits = 14 if operator.outputs[0].kind == INT16 else 19
    return max(inputs) / 2**bits / output


def _require_shift(operator: Operator, holds: bool) -> None:
    allowed = "such that the ratio of input and output is below 2**19, of int16 below 2**14"
    require(holds, "the list of scales", _first_scales(operator), allowed)


def _first_scales(operator: Operator) -> list[float]:
    return [tensor.scales[0] for tensor in operator.tensors if tensor.scales]
