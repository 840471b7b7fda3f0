"""The rules of LiteRT's own operators, those that binary networks are made of.

LiteRT checks many of them itself, but not all, and not in every release: it writes as many
outputs of a SPLIT as its options say, divides by a stride of 0, and ends the program on a scale
of 0.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from larq_bcd_runtime.flatbuffer import Damaged, Table

FLOAT32, FLOAT16, INT32, UINT8, INT64, BOOL, INT16, INT8, INT4 = 0, 1, 2, 3, 4, 6, 7, 9, 17
_QUANTIZED = {UINT8, INT16, INT8, INT4}
# Larger strides, windows and sizes of blocks overflow LiteRT's arithmetic.
_LARGEST_OPTION = 1 << 16
_MOST_DIMENSIONS = 8


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        shape: as the file has it.
        known: the dimensions that hold when the file runs, None for those that it leaves open;
            None altogether if not even their number is certain.
        kind: the schema's number of its type.
        data: of a constant; else empty.
        is_variable: whether it keeps its value from one run to the next.
        scales: of a quantized tensor, one or one for each slice of a dimension.
        zero_points: likewise.
    """

    shape: tuple[int, ...]
    known: Optional[tuple[Optional[int], ...]]
    kind: int
    data: memoryview
    is_variable: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]

    def integers(self) -> Optional[tuple[int, ...]]:
        """Returns the values of a constant of integers, None if it is something else."""
        code = {INT32: "i", INT64: "q"}.get(self.kind)
        if code is None or not len(self.data):
            return None
        count = min(len(self.data) // struct.calcsize(code), math.prod(self.shape))
        return struct.unpack_from(f"<{count}{code}", self.data)


@dataclass(frozen=True)
class Operator:
    """An operator with its tensors; None is an input that it does without.

    Attributes:
        inputs: what it reads.
        outputs: what it writes.
        options: its options, None if it has none or another operator's.
    """

    inputs: list[Optional[Tensor]]
    outputs: list[Tensor]
    options: Optional[Table]

    def first(self, count: int) -> list[Tensor]:
        """Returns its first inputs, those that it cannot do without."""
        return [tensor for tensor in self.inputs[:count] if tensor is not None]

    def option(self, number: int, code: str = "<i", default: int = 0) -> int:
        """Returns an option; 0, which is what LiteRT takes, if there are none."""
        return 0 if self.options is None else self.options.number(number, code, default)


Check = Callable[[Operator], None]


@dataclass(frozen=True)
class Rule:
    """What holds for an operator.

    Attributes:
        name: the operator's.
        inputs: how many at least and at most.
        checks: raise `Damaged` with what is wrong.
        outputs: how many; None for any number.
        options: the schema's number of the type of its options, if any is looked at.
    """

    name: str
    inputs: tuple[int, int]
    checks: tuple[Check, ...] = ()
    outputs: Optional[int] = 1
    options: int = 0


def check_operator(
    number: int, code: int, table: Table, inputs: list[Optional[Tensor]], outputs: list[Tensor]
) -> None:
    """Checks one of LiteRT's operators.

    Args:
        number: which one it is in the graph.
        code: the schema's number of its kind.
        table: the operator.
        inputs: what it reads, None where it does without.
        outputs: what it writes.

    Raises:
        Damaged: it breaks one of its rules; the message names it.
    """
    rule = RULES.get(code)
    if rule is None:
        return
    has_own_options = table.number(3, "<B") == rule.options
    operator = Operator(inputs, outputs, table.table(4) if has_own_options else None)
    low, high = rule.inputs
    try:
        if not low <= len(operator.inputs) <= high:
            raise Damaged(f"has {len(operator.inputs)} inputs")
        if any(tensor is None for tensor in operator.inputs[:low]):
            raise Damaged("lacks an input")
        if rule.outputs is not None and len(operator.outputs) != rule.outputs:
            raise Damaged(f"has {len(operator.outputs)} outputs")
        for check in rule.checks:
            check(operator)
    except Damaged as damage:
        raise Damaged(f"operator {number}, {rule.name}, {damage}") from None


# ---- Types ----


def _same_types(operator: Operator) -> None:
    kinds = {tensor.kind for tensor in (*operator.inputs, *operator.outputs) if tensor}
    if len(kinds) > 1:
        raise Damaged("mixes types")


def _first_keeps_its_type(operator: Operator) -> None:
    first = operator.inputs[0]
    if first and any(tensor.kind != first.kind for tensor in operator.outputs):
        raise Damaged("changes the type of its input")


def _compares(operator: Operator) -> None:
    first, second = operator.inputs
    if first and second and first.kind != second.kind:
        raise Damaged("mixes types")
    if operator.outputs[0].kind != BOOL:
        raise Damaged("gives something else than truth values")


def _selects(operator: Operator) -> None:
    condition, first, second = operator.inputs
    if condition and condition.kind != BOOL:
        raise Damaged("selects by something else than truth values")
    if first and second and len({first.kind, second.kind, operator.outputs[0].kind}) > 1:
        raise Damaged("mixes types")


def _of(position: int, *kinds: int) -> Check:
    def check(operator: Operator) -> None:
        if position < len(operator.inputs):
            tensor = operator.inputs[position]
            if tensor and tensor.kind not in kinds:
                raise Damaged(f"has an input {position} of type {tensor.kind}")

    return check


# Types of an input, of the weights that go with it, and of the bias that goes with these.
_WEIGHTS = {
    FLOAT32: ({FLOAT32, INT8, UINT8, INT4}, {FLOAT32}),
    INT8: ({INT8, INT4}, {INT32}),
    UINT8: ({UINT8}, {INT32}),
    INT16: ({INT8}, {INT32, INT64}),
}


def _weighted(operator: Operator) -> None:
    data, weights = operator.first(2)
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    allowed = _WEIGHTS.get(data.kind)
    if allowed is None or weights.kind not in allowed[0]:
        raise Damaged(f"has an input of type {data.kind} and weights of type {weights.kind}")
    if bias is not None and bias.kind not in allowed[1]:
        raise Damaged(f"has a bias of type {bias.kind}")
    if data.kind == FLOAT32 and operator.outputs[0].kind != FLOAT32:
        raise Damaged(f"has an output of type {operator.outputs[0].kind}")


def _has_scales(operator: Operator) -> None:
    """LiteRT divides by the scales of quantized tensors, and aborts on what comes out."""
    for tensor in (*operator.inputs, *operator.outputs):
        if tensor is None or tensor.kind not in _QUANTIZED:
            continue
        # A slice of weights that are all 0 may have the scale 0.
        lowest = 0 if len(tensor.data) else 1e-30
        if not tensor.scales or not all(lowest <= scale < 1e30 for scale in tensor.scales):
            raise Damaged(f"has a quantized tensor with the scales {tensor.scales[:4]}")
        if not all(-(2**15) <= point < 2**16 for point in tensor.zero_points):
            raise Damaged("has a quantized tensor with an impossible zero point")


def _keeps_scale_of_sum(operator: Operator) -> None:
    tensors = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor]
    if all(tensor.kind in _QUANTIZED and tensor.scales for tensor in tensors):
        largest = max(tensor.scales[0] for tensor in operator.inputs if tensor)
        if largest > 2**18 * operator.outputs[0].scales[0]:
            raise Damaged("has an output whose scale is too small for its inputs")


# ---- Shapes ----


def _rank(position: int, *ranks: int) -> Check:
    def check(operator: Operator) -> None:
        if position < len(operator.inputs):
            tensor = operator.inputs[position]
            if tensor and tensor.known is not None and len(tensor.known) not in ranks:
                raise Damaged(f"has an input {position} of {len(tensor.known)} dimensions")

    return check


def _differ(a: Optional[int], b: Optional[int]) -> bool:
    return a is not None and b is not None and a != b


def _keeps_shape(operator: Operator) -> None:
    """XNNPACK computes some constants before LiteRT corrects the shape of what is written."""
    before, after = operator.inputs[0], operator.outputs[0]
    if before is None or before.known is None or after.known is None:
        return
    if len(before.known) != len(after.known) or any(map(_differ, before.known, after.known)):
        raise Damaged(f"makes the shape {after.known} of {before.known}")


def _same_shapes(operator: Operator) -> None:
    """XNNPACK and LiteRT read as much of each input as the first has."""
    shapes = [tensor.known for tensor in operator.inputs if tensor and tensor.known is not None]
    for shape in shapes:
        if len(shape) != len(shapes[0]) or any(map(_differ, shape, shapes[0])):
            raise Damaged(f"has inputs of the shapes {', '.join(map(str, shapes))}")


def _broadcasts(operator: Operator) -> None:
    shapes = [tensor.known for tensor in operator.inputs if tensor]
    if any(shape is None for shape in shapes):
        return
    for sizes in zip(*(reversed(shape) for shape in shapes if shape)):
        if len({size for size in sizes if size not in (None, 1)}) > 1:
            raise Damaged(f"has inputs of the shapes {', '.join(map(str, shapes))}")


def _convolves(operator: Operator) -> None:
    data, weights = operator.first(2)
    if weights.known and 0 in weights.known:
        raise Damaged(f"has weights of the shape {weights.known}")
    if data.known and weights.known and data.known[3] and weights.known[3]:
        channels, slices = data.known[3], weights.known[3]
        if channels % slices or (weights.known[0] or 0) % (channels // slices):
            raise Damaged(f"has {channels} channels, and weights of the shape {weights.known}")
    _bias_of(operator, weights.known[0] if weights.known else None)


def _convolves_depthwise(operator: Operator) -> None:
    data, weights = operator.first(2)
    if weights.known and (_differ(weights.known[0], 1) or 0 in weights.known):
        raise Damaged(f"has weights of the shape {weights.known}")
    if data.known and weights.known and data.known[3] is not None:
        multiplier = operator.option(3)
        if _differ(weights.known[3], data.known[3] * multiplier) or not data.known[3]:
            raise Damaged(
                f"has {data.known[3]} channels, the multiplier {multiplier} and weights of the "
                f"shape {weights.known}"
            )
    _bias_of(operator, weights.known[3] if weights.known else None)


def _connects(operator: Operator) -> None:
    data, weights = operator.first(2)
    if weights.known is None:
        return
    if 0 in weights.known:
        raise Damaged(f"has weights of the shape {weights.known}")
    if data.known and None not in data.known and weights.known[1]:
        if math.prod(data.shape) % weights.known[1]:
            raise Damaged(f"has {data.known} values, and weights of the shape {weights.known}")
        if operator.option(2, "<?") and _differ(data.known[-1], weights.known[1]):
            raise Damaged(f"has {data.known} values, and weights of the shape {weights.known}")
    _bias_of(operator, weights.known[0])


def _bias_of(operator: Operator, count: Optional[int]) -> None:
    bias = operator.inputs[2] if len(operator.inputs) > 2 else None
    if bias is None or bias.known is None or None in bias.known or count is None:
        return
    if math.prod(bias.shape) != count:
        raise Damaged(f"has a bias of the shape {bias.known} for {count} channels")


def _concatenates(operator: Operator) -> None:
    shapes = [tensor.known for tensor in operator.inputs if tensor]
    if any(shape is None for shape in shapes):
        return
    ranks = {len(shape) for shape in shapes if shape is not None}
    if len(ranks) > 1:
        raise Damaged("has inputs of different numbers of dimensions")
    axis = _axis(operator.option(0), ranks.pop())
    for at, sizes in enumerate(zip(*(shape for shape in shapes if shape is not None))):
        if at != axis and len(set(sizes) - {None}) > 1:
            raise Damaged(f"has inputs of the shapes {', '.join(map(str, shapes))}")


# ---- Options and constants ----


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise Damaged(f"works on dimension {axis} of {rank}")
    return axis % rank


def _positive(*numbers: int, default: int = 0) -> Check:
    def check(operator: Operator) -> None:
        for number in numbers:
            value = operator.option(number, default=default)
            if not 0 < value < _LARGEST_OPTION:
                raise Damaged(f"has a stride, a dilation or a size of {value}")

    return check


def _padding(operator: Operator) -> None:
    if operator.option(0, "<b") not in (0, 1):
        raise Damaged(f"has the padding {operator.option(0, '<b')}")


def _activation(number: int) -> Check:
    def check(operator: Operator) -> None:
        if not 0 <= operator.option(number, "<b") <= 5:
            raise Damaged(f"has the activation {operator.option(number, '<b')}")

    return check


def _window_fits(operator: Operator) -> None:
    data = operator.inputs[0]
    if data and data.known and operator.option(0, "<b") == 1:
        for size, number in zip(data.known[1:3], (4, 3)):
            if size is not None and operator.option(number) > size:
                raise Damaged(f"has a window of {operator.option(number)} on {size} pixels")


def _counts(what: str) -> Check:
    def check(operator: Operator) -> None:
        tensors = getattr(operator, what)
        if operator.option(0) != len(tensors) or not tensors:
            raise Damaged(f"is to have {operator.option(0)} {what}, and has {len(tensors)}")

    return check


def _splits(operator: Operator) -> None:
    position, data = operator.first(2)
    values = position.integers()
    if values is not None and len(values) != 1:
        raise Damaged(f"splits along the dimensions {values[:8]}")
    if values is not None and data.known is not None:
        size = data.known[_axis(values[0], len(data.known))]
        if size is not None and size % len(operator.outputs):
            raise Damaged(f"splits {size} into {len(operator.outputs)} parts")


def _axes(operator: Operator) -> None:
    data, axes = operator.first(2)
    values = axes.integers()
    if values is not None and data.known is not None:
        for value in values:
            _axis(value, len(data.known))


def _permutes(operator: Operator) -> None:
    data, order = operator.first(2)
    values = order.integers()
    if values is None or data.known is None:
        return
    if sorted(values) != list(range(len(data.known))):
        raise Damaged(f"orders {len(data.known)} dimensions as {values[:8]}")


def _pads(operator: Operator) -> None:
    data, amounts = operator.first(2)
    values = amounts.integers()
    if values is None:
        return
    if any(not 0 <= value < _LARGEST_OPTION for value in values):
        raise Damaged(f"pads by {values[:8]}")
    if data.known is not None and amounts.shape != (len(data.known), 2):
        raise Damaged(f"pads {len(data.known)} dimensions by {values[:8]}")


def _reshapes(operator: Operator) -> None:
    wanted = operator.inputs[1] if len(operator.inputs) > 1 else None
    values = None if wanted is None else wanted.integers()
    if values is None:
        return
    # -1 once, for what is left.
    if len(values) > _MOST_DIMENSIONS or any(value < -1 for value in values):
        raise Damaged(f"makes the shape {values[:10]}")
    if values.count(-1) > 1:
        raise Damaged(f"leaves {values.count(-1)} dimensions open")


def _slices(operator: Operator) -> None:
    data, begin, size = operator.first(3)
    starts, sizes = begin.integers(), size.integers()
    if starts is None or sizes is None or data.known is None:
        return
    if not len(starts) == len(sizes) == len(data.known):
        raise Damaged(f"cuts {len(data.known)} dimensions from {starts[:8]}")
    for known, start, count in zip(data.known, starts, sizes):
        if start < 0 or count < -1 or (known is not None and start + max(count, 0) > known):
            raise Damaged(f"cuts {count} from {start} on, of {known}")


def _slices_with_strides(operator: Operator) -> None:
    data, *rest = operator.inputs
    values = [tensor.integers() if tensor else None for tensor in rest]
    lengths = {len(value) for value in values if value is not None}
    if len(lengths) > 1 or max(lengths, default=0) > _MOST_DIMENSIONS:
        raise Damaged("has begins, ends and strides of different or impossible lengths")
    if values[2] is not None and 0 in values[2]:
        raise Damaged("has a stride of 0")
    if not lengths or data is None or data.known is None:
        return
    # An ellipsis and new dimensions are counted too.
    if not operator.option(2) and not operator.option(3) and max(lengths) > len(data.known):
        raise Damaged(f"cuts {max(lengths)} dimensions of {len(data.known)}")


def _gathers(operator: Operator) -> None:
    data, places = operator.first(2)
    if data.known is None:
        return
    axis = _axis(operator.option(0), len(data.known))
    batch = operator.option(1)
    if places.known is not None and not -len(places.known) <= batch <= len(places.known):
        raise Damaged(f"has {batch} dimensions of batches")
    size, values = data.known[axis], places.integers()
    if values is not None and size is not None and any(not 0 <= v < size for v in values):
        raise Damaged(f"gathers beyond dimension {axis} of size {size}")


def _packs(operator: Operator) -> None:
    first = operator.inputs[0]
    if any(tensor is None for tensor in operator.inputs):
        raise Damaged("lacks an input")
    if first and first.known is not None:
        _axis(operator.option(1), len(first.known) + 1)


def _unpacks(operator: Operator) -> None:
    data = operator.inputs[0]
    if data and data.known is not None:
        size = data.known[_axis(operator.option(1), len(data.known))]
        if _differ(size, len(operator.outputs)):
            raise Damaged(f"unpacks {size} into {len(operator.outputs)}")


_MANY = 1 << 20
_SUM = (_same_types, _has_scales, _broadcasts, _activation(0))
_COMPARISON = (_compares, _broadcasts)
_PLAIN = (_same_types, _has_scales, _keeps_shape)
_POOL = (
    _same_types,
    _rank(0, 4),
    _padding,
    _positive(1, 2, 3, 4),
    _activation(5),
    _window_fits,
)
_INDEX = (INT32, INT64)
_REDUCTION = (_of(1, INT32), _first_keeps_its_type, _axes, _has_scales)
_CONVOLUTION = (_weighted, _has_scales, _rank(0, 4), _rank(1, 4), _padding, _positive(1, 2))

# By the schema's numbers. LiteRT crashes in a depthwise convolution without a bias.
RULES = {
    0: Rule("ADD", (2, 2), (*_SUM, _keeps_scale_of_sum), options=11),
    1: Rule("AVERAGE_POOL_2D", (1, 1), (*_POOL, _has_scales), options=5),
    2: Rule(
        "CONCATENATION", (1, _MANY), (_same_types, _concatenates, _activation(1)), options=10
    ),
    3: Rule(
        "CONV_2D",
        (2, 3),
        (*_CONVOLUTION, _positive(4, 5, default=1), _activation(3), _convolves),
        options=1,
    ),
    4: Rule(
        "DEPTHWISE_CONV_2D",
        (3, 3),
        (*_CONVOLUTION, _positive(5, 6, default=1), _activation(4), _convolves_depthwise),
        options=2,
    ),
    5: Rule("DEPTH_TO_SPACE", (1, 1), (_same_types, _rank(0, 4), _positive(0)), options=94),
    6: Rule(
        "DEQUANTIZE",
        (1, 1),
        (_of(0, FLOAT16, UINT8, INT16, INT8, INT4), _has_scales, _keeps_shape),
    ),
    8: Rule("FLOOR", (1, 1), _PLAIN),
    9: Rule(
        "FULLY_CONNECTED",
        (2, 3),
        (_weighted, _has_scales, _rank(1, 2), _activation(0), _connects),
        options=8,
    ),
    14: Rule("LOGISTIC", (1, 1), _PLAIN),
    17: Rule("MAX_POOL_2D", (1, 1), _POOL, options=5),
    18: Rule("MUL", (2, 2), _SUM, options=21),
    19: Rule("RELU", (1, 1), _PLAIN),
    20: Rule("RELU_N1_TO_1", (1, 1), _PLAIN),
    21: Rule("RELU6", (1, 1), _PLAIN),
    22: Rule("RESHAPE", (1, 2), (_first_keeps_its_type, _of(1, INT32), _reshapes)),
    25: Rule("SOFTMAX", (1, 1), (_has_scales, _keeps_shape)),
    26: Rule("SPACE_TO_DEPTH", (1, 1), (_same_types, _rank(0, 4), _positive(0)), options=19),
    28: Rule("TANH", (1, 1), _PLAIN),
    34: Rule("PAD", (2, 2), (_first_keeps_its_type, _of(1, *_INDEX), _pads)),
    36: Rule(
        "GATHER", (2, 2), (_first_keeps_its_type, _of(1, INT16, *_INDEX), _gathers), options=23
    ),
    39: Rule("TRANSPOSE", (2, 2), (_first_keeps_its_type, _of(1, INT32), _permutes)),
    40: Rule("MEAN", (2, 2), _REDUCTION),
    41: Rule("SUB", (2, 2), (*_SUM, _keeps_scale_of_sum), options=28),
    42: Rule("DIV", (2, 2), _SUM, options=29),
    43: Rule("SQUEEZE", (1, 1), (_same_types,)),
    45: Rule(
        "STRIDED_SLICE",
        (4, 4),
        (_first_keeps_its_type, *(_of(at, *_INDEX) for at in (1, 2, 3)), _slices_with_strides),
        options=32,
    ),
    47: Rule("EXP", (1, 1), _PLAIN),
    49: Rule(
        "SPLIT", (2, 2), (_counts("outputs"), _of(0, INT32), _splits), outputs=None, options=35
    ),
    53: Rule("CAST", (1, 1), (_keeps_shape,)),
    54: Rule("PRELU", (2, 2), (*_PLAIN, _broadcasts)),
    55: Rule("MAXIMUM", (2, 2), (_same_types, _broadcasts)),
    57: Rule("MINIMUM", (2, 2), (_same_types, _broadcasts)),
    58: Rule("LESS", (2, 2), _COMPARISON),
    59: Rule("NEG", (1, 1), _PLAIN),
    60: Rule("PADV2", (3, 3), (_first_keeps_its_type, _of(1, *_INDEX), _pads)),
    61: Rule("GREATER", (2, 2), _COMPARISON),
    62: Rule("GREATER_EQUAL", (2, 2), _COMPARISON),
    63: Rule("LESS_EQUAL", (2, 2), _COMPARISON),
    64: Rule("SELECT", (3, 3), (_selects,)),
    65: Rule(
        "SLICE", (3, 3), (_first_keeps_its_type, _of(1, *_INDEX), _of(2, *_INDEX), _slices)
    ),
    69: Rule("TILE", (2, 2), (_first_keeps_its_type, _of(1, *_INDEX))),
    70: Rule("EXPAND_DIMS", (2, 2), (_first_keeps_its_type, _of(1, *_INDEX))),
    73: Rule("LOG", (1, 1), _PLAIN),
    74: Rule("SUM", (2, 2), _REDUCTION),
    75: Rule("SQRT", (1, 1), _PLAIN),
    76: Rule("RSQRT", (1, 1), _PLAIN),
    82: Rule("REDUCE_MAX", (2, 2), _REDUCTION),
    83: Rule("PACK", (1, _MANY), (_same_types, _counts("inputs"), _packs), options=59),
    88: Rule(
        "UNPACK", (1, 1), (_same_types, _counts("outputs"), _unpacks), outputs=None, options=64
    ),
    89: Rule("REDUCE_MIN", (2, 2), _REDUCTION),
    92: Rule("SQUARE", (1, 1), _PLAIN),
    97: Rule("RESIZE_NEAREST_NEIGHBOR", (2, 2), (_first_keeps_its_type, _of(1, INT32))),
    98: Rule("LEAKY_RELU", (1, 1), _PLAIN),
    99: Rule("SQUARED_DIFFERENCE", (2, 2), (_same_types, _has_scales, _broadcasts)),
    101: Rule("ABS", (1, 1), (_same_types, _keeps_shape)),
    102: Rule("SPLIT_V", (3, 3), (_counts("outputs"), _of(2, INT32)), outputs=None, options=79),
    106: Rule("ADD_N", (2, _MANY), (_same_types, _same_shapes)),
    111: Rule("ELU", (1, 1), _PLAIN),
    114: Rule("QUANTIZE", (1, 1), (_has_scales, _keeps_shape)),
    116: Rule("ROUND", (1, 1), _PLAIN),
    117: Rule("HARD_SWISH", (1, 1), _PLAIN),
    123: Rule("SELECT_V2", (3, 3), (_selects, _broadcasts)),
    126: Rule("BATCH_MATMUL", (2, 2), (_has_scales,)),
    158: Rule("SIGN", (1, 1), _PLAIN),
}
