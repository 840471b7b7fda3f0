"""Whether operators keep samples apart, so that LiteRT may be given more of them at once.

A file that was written for one sample may say so in a constant. Mostly LiteRT refuses such a
file when it is to work on more; what follows are the operators that it executes without a word,
though they leave samples out or mix them.
"""

from collections.abc import Callable

from larq_bcd_runtime.flatbuffer import Table
from larq_bcd_runtime.rules import Tensor

Inputs = list[Tensor]


def keeps_samples(code: int, operator: Table, inputs: Inputs) -> bool:
    """Returns whether an operator computes each sample by itself, however many there are.

    Args:
        code: the schema's number of its kind.
        operator: the operator.
        inputs: what it reads, without what it does without.
    """
    check = _CHECKS.get(code)
    return check is None or check(operator, inputs)


def _slice(operator: Table, inputs: Inputs) -> bool:
    size = inputs[2].integers() if len(inputs) == 3 else None
    return bool(size) and size[0] == -1


def _strided_slice(operator: Table, inputs: Inputs) -> bool:
    options = operator.table(4)
    return options is not None and bool(options.number(0) & options.number(1) & 1)


def _gather(operator: Table, inputs: Inputs) -> bool:
    """Samples are what is gathered from, or the indices into a constant."""
    return _has_other_axis(operator, inputs) or (len(inputs) == 2 and len(inputs[0].data) > 0)


def _gather_nd(operator: Table, inputs: Inputs) -> bool:
    """The first number of each index is that of a sample."""
    return len(inputs) == 2 and not len(inputs[1].data)


def _reshape(operator: Table, inputs: Inputs) -> bool:
    """What is -1 takes up all samples."""
    options = operator.table(4)
    values = inputs[1].integers() if len(inputs) == 2 else options and options.numbers(0)
    return not values or -1 not in values[1:]


def _has_other_axis(operator: Table, inputs: Inputs) -> bool:
    """The axis of CONCATENATION and GATHER, which stands first among the options."""
    options = operator.table(4)
    axis = 0 if options is None else options.number(0)
    return not inputs or axis not in (0, -len(inputs[0].shape))


def _along_axes(operator: Table, inputs: Inputs) -> bool:
    """Axes are the second input; a vector holds the sizes of a shape, no samples."""
    axes = inputs[1].integers() if len(inputs) == 2 else None
    rank = len(inputs[0].shape) if inputs else 0
    return rank < 2 or not {0, -rank} & set(axes or ())


_CONCATENATION, _GATHER, _GATHER_ND, _RESHAPE, _SLICE, _STRIDED_SLICE = 2, 36, 107, 22, 65, 45
# MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL, ARG_MAX, ARG_MIN,
# REVERSE_V2 and CUMSUM.
_ALONG_AXES = (40, 74, 81, 82, 89, 91, 140, 56, 79, 105, 128)

_CHECKS: dict[int, Callable[[Table, Inputs], bool]] = {
    _CONCATENATION: _has_other_axis,
    _GATHER: _gather,
    _GATHER_ND: _gather_nd,
    _RESHAPE: _reshape,
    _SLICE: _slice,
    _STRIDED_SLICE: _strided_slice,
    **{code: _along_axes for code in _ALONG_AXES},
}
