"""Operators that move values without changing them, and reductions along dimensions."""

from larq_bcd_runtime.rules.options import LARGEST
from larq_bcd_runtime.rules.rule import (
    INT16,
    INT32,
    INT64,
    Operator,
    Rule,
    axis_of,
    require,
    type_name,
)
from larq_bcd_runtime.rules.types import input_is, keeps_type, one_type, scaled

_MOST_DIMENSIONS = 8


def _axes(operator: Operator) -> None:
    data, axes = operator.first(2)
    if data.known is not None:
        for value in axes.integers() or ():
            axis_of(value, len(data.known))


def _permutes(operator: Operator) -> None:
    data, order = operator.first(2)
    values = order.integers()
    if values is not None and data.known is not None:
        rank = len(data.known)
        require(
            sorted(values) == list(range(rank)),
            "perm",
            values[:8],
            f"an order of {rank} dimensions",
        )


def _amounts(operator: Operator) -> None:
    values = operator.first(2)[1].integers() or ()
    require(
        all(0 <= value < LARGEST for value in values),
        "paddings",
        values[:8],
        f"from 0 to {LARGEST - 1}",
    )


def _pads(operator: Operator) -> None:
    data, amounts = operator.first(2)
    if data.known is not None and amounts.integers() is not None:
        allowed = (len(data.known), 2)
        require(amounts.shape == allowed, "the shape of paddings", amounts.shape, str(allowed))


def _fills(operator: Operator) -> None:
    sizes, value = operator.first(2)
    require(
        all(0 <= size < LARGEST for size in sizes.integers() or ()),
        "dims",
        (sizes.integers() or ())[:8],
        f"from 0 to {LARGEST - 1}",
    )
    for output in operator.outputs:
        require(
            output.kind == value.kind,
            "the type of the output",
            type_name(output.kind),
            f"{type_name(value.kind)} as that of the value",
        )
    require(value.shape in ((), (1,)), "the shape of the value", value.shape, "that of one")


def _reshapes(operator: Operator) -> None:
    wanted = operator.input(1)
    values = None if wanted is None else wanted.integers()
    if values is not None:
        # -1 once, for what is left.
        require(
            len(values) <= _MOST_DIMENSIONS
            and all(value >= -1 for value in values)
            and values.count(-1) <= 1,
            "the new shape",
            values[:10],
            f"of up to {_MOST_DIMENSIONS} sizes, one of them -1 at the most",
        )


def _slices(operator: Operator) -> None:
    data, begin, size = operator.first(3)
    starts, sizes = begin.integers(), size.integers()
    if starts is None or sizes is None or data.known is None:
        return
    rank = len(data.known)
    require(len(starts) == rank, "begin", starts[:8], f"of {rank} values")
    require(len(sizes) == rank, "size", sizes[:8], f"of {rank} values")
    for known, start, count in zip(data.known, starts, sizes):
        require(start >= 0, "begin", start, "at least 0")
        require(
            count >= -1 and (known is None or start + max(count, 0) <= known),
            "size",
            count,
            f"-1 or such that the slice from {start} on ends within {known}",
        )


def _strides(operator: Operator) -> None:
    values = [tensor.integers() if tensor else None for tensor in operator.inputs[1:]]
    lengths = sorted({len(value) for value in values if value is not None})
    require(
        len(lengths) <= 1 and max(lengths, default=0) <= _MOST_DIMENSIONS,
        "the length of begin, end or strides",
        lengths,
        f"one of 0 to {_MOST_DIMENSIONS}",
    )
    require(0 not in (values[2] or ()), "strides", values[2], "without 0")


def _slices_with_strides(operator: Operator) -> None:
    data, *rest = operator.first(4)
    lengths = [len(value) for tensor in rest if (value := tensor.integers()) is not None]
    # An ellipsis and new dimensions are counted too.
    if lengths and data.known is not None and not operator.option(2) and not operator.option(3):
        rank = len(data.known)
        require(max(lengths) <= rank, "the length of begin", max(lengths), f"at most {rank}")


def _gathers(operator: Operator) -> None:
    data, indices = operator.first(2)
    if data.known is None:
        return
    axis, batch = axis_of(operator.option(0), len(data.known)), operator.option(1)
    if indices.known is not None:
        rank = len(indices.known)
        require(-rank <= batch <= rank, "batch_dims", batch, f"one of {rank} dimensions")
    size, values = data.known[axis], indices.integers()
    if values is not None and size is not None:
        outside = [value for value in values if not 0 <= value < size]
        require(not outside, "indices", outside[:8], f"from 0 to {size - 1}")


_INDEX = input_is(1, INT32, INT64)
_REDUCTION = (input_is(1, INT32), keeps_type, scaled)
_REDUCTIONS = {40: "MEAN", 74: "SUM", 82: "REDUCE_MAX", 89: "REDUCE_MIN"}

RULES = {
    **{code: Rule(name, (2, 2), _REDUCTION, (_axes,)) for code, name in _REDUCTIONS.items()},
    22: Rule("RESHAPE", (1, 2), (keeps_type, input_is(1, INT32), _reshapes)),
    34: Rule("PAD", (2, 2), (keeps_type, _INDEX, _amounts), (_pads,)),
    36: Rule(
        "GATHER",
        (2, 2),
        (keeps_type, input_is(1, INT16, INT32, INT64)),
        (_gathers,),
        options=23,
    ),
    39: Rule("TRANSPOSE", (2, 2), (keeps_type, input_is(1, INT32)), (_permutes,)),
    43: Rule("SQUEEZE", (1, 1), (one_type,)),
    45: Rule(
        "STRIDED_SLICE",
        (4, 4),
        (keeps_type, *(input_is(at, INT32, INT64) for at in (1, 2, 3)), _strides),
        (_slices_with_strides,),
        options=32,
    ),
    60: Rule("PADV2", (3, 3), (keeps_type, _INDEX, _amounts), (_pads,)),
    65: Rule("SLICE", (3, 3), (keeps_type, _INDEX, input_is(2, INT32, INT64)), (_slices,)),
    69: Rule("TILE", (2, 2), (keeps_type, _INDEX)),
    70: Rule("EXPAND_DIMS", (2, 2), (keeps_type, _INDEX)),
    94: Rule("FILL", (2, 2), (input_is(0, INT32, INT64), _fills)),
    97: Rule("RESIZE_NEAREST_NEIGHBOR", (2, 2), (keeps_type, input_is(1, INT32))),
}
