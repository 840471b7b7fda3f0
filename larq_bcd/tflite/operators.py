"""The operators of a file: their names, their options, what they do to a graph."""

from typing import Any

from larq_bcd.tflite.schema import schema

# Larq Compute Engine's.
QUANTIZE, DEQUANTIZE = "LceQuantize", "LceDequantize"
BINARY_CONVOLUTION, BINARY_MAX_POOL = "LceBconv2d", "LceBMaxPool2d"
LCE_OPERATORS = frozenset({QUANTIZE, DEQUANTIZE, BINARY_CONVOLUTION, BINARY_MAX_POOL})

# Its operators and the built-in ones number their paddings alike.
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID

# They do, or may do, more than to compute their outputs from their inputs.
STATEFUL = frozenset({
    "ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "HASHTABLE", "HASHTABLE_IMPORT", "IF",
    "MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "READ_VARIABLE", "VAR_HANDLE",
    "WHILE",
})  # fmt: skip

_BUILTIN_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()
}
# The tables of options whose names do not follow from those of their operators.
_OPTIONS = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "MAXIMUM": "MaximumMinimum",
    "MAX_POOL_2D": "Pool2D",
    "MINIMUM": "MaximumMinimum",
    "PADV2": "PadV2",
}
_WITHOUT_OPTIONS = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})


def operator_name(code: Any) -> str:
    """The name of an operator, built-in or custom, from its `OperatorCodeT`."""
    if code.customCode:
        return code.customCode.decode()
    # Codes below 127 may be in the older, narrower field alone.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _BUILTIN_NAMES.get(number, f"BUILTIN_{number}")


def builtin_code(name: str, version: int) -> Any:
    """The `OperatorCodeT` of a built-in operator."""
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = getattr(schema.BuiltinOperator, name), version
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    return code


def custom_code(name: str) -> Any:
    """The `OperatorCodeT` of a custom operator, in its first version."""
    code = builtin_code("CUSTOM", version=1)
    code.customCode = name.encode()
    return code


def builtin_options(name: str, **fields: Any) -> tuple[int, Any]:
    """The options of a built-in operator: their type in the schema's union, and the object.

    Of one that has none, such as `"RELU"`, 0 and None.

    Args:
        name: of the operator, such as `"ADD"`.
        fields: what is not as it is by default, by the schema's names.
    """
    table = _OPTIONS.get(name, "".join(part.capitalize() for part in name.split("_")))
    if name in _WITHOUT_OPTIONS and not fields:
        return 0, None
    options = getattr(schema, f"{table}OptionsT")()
    for field, value in fields.items():
        if not hasattr(options, field):
            raise AttributeError(f"the options of {name} have no field {field!r}")
        setattr(options, field, value)
    return getattr(schema.BuiltinOptions, f"{table}Options"), options
