"""Operators that work on each value by itself, or on pairs of values."""

from larq_bcd_runtime.rules.options import activation
from larq_bcd_runtime.rules.rule import (
    FLOAT16,
    INT4,
    INT8,
    INT16,
    MANY,
    UINT8,
    Rule,
)
from larq_bcd_runtime.rules.shapes import broadcasts, keeps_shape, same_shapes
from larq_bcd_runtime.rules.types import (
    compares,
    input_is,
    one_type,
    scaled,
    scaled_product,
    scales_of_a_difference,
    scales_of_a_sum,
    selects,
)

_SUM = (one_type, scaled, activation(0))
_PLAIN = (one_type, scaled)
_UNARY = {
    8: "FLOOR", 14: "LOGISTIC", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 28: "TANH",
    47: "EXP", 59: "NEG", 73: "LOG", 75: "SQRT", 76: "RSQRT", 92: "SQUARE", 98: "LEAKY_RELU",
    111: "ELU", 116: "ROUND", 117: "HARD_SWISH", 158: "SIGN",
}  # fmt: skip
_COMPARISONS = {58: "LESS", 61: "GREATER", 62: "GREATER_EQUAL", 63: "LESS_EQUAL"}

RULES = {
    **{code: Rule(name, (1, 1), _PLAIN, (keeps_shape,)) for code, name in _UNARY.items()},
    **{
        code: Rule(name, (2, 2), (compares,), (broadcasts,))
        for code, name in _COMPARISONS.items()
    },
    0: Rule("ADD", (2, 2), (*_SUM, scales_of_a_sum), (broadcasts,), options=11),
    6: Rule(
        "DEQUANTIZE",
        (1, 1),
        (input_is(0, FLOAT16, UINT8, INT16, INT8, INT4), scaled),
        (keeps_shape,),
    ),
    18: Rule(
        "MUL", (2, 2), (one_type, scaled_product, activation(0)), (broadcasts,), options=21
    ),
    25: Rule("SOFTMAX", (1, 1), (scaled,), (keeps_shape,)),
    41: Rule("SUB", (2, 2), (*_SUM, scales_of_a_difference), (broadcasts,), options=28),
    42: Rule("DIV", (2, 2), _SUM, (broadcasts,), options=29),
    53: Rule("CAST", (1, 1), (), (keeps_shape,)),
    54: Rule("PRELU", (2, 2), _PLAIN, (keeps_shape, broadcasts)),
    55: Rule("MAXIMUM", (2, 2), (one_type,), (broadcasts,)),
    57: Rule("MINIMUM", (2, 2), (one_type,), (broadcasts,)),
    64: Rule("SELECT", (3, 3), (selects,)),
    99: Rule("SQUARED_DIFFERENCE", (2, 2), _PLAIN, (broadcasts,)),
    101: Rule("ABS", (1, 1), (one_type,), (keeps_shape,)),
    106: Rule("ADD_N", (2, MANY), (one_type,), (same_shapes,)),
    114: Rule("QUANTIZE", (1, 1), (scaled,), (keeps_shape,)),
    123: Rule("SELECT_V2", (3, 3), (selects,), (broadcasts,)),
}
