"""Operators that join tensors, or take one apart."""

from larq_bcd_runtime.rules.options import activation, counts
from larq_bcd_runtime.rules.rule import (
    INT32,
    MANY,
    Operator,
    Rule,
    axis_of,
    differ,
    require,
)
from larq_bcd_runtime.rules.types import input_is, one_type


def _concatenates(operator: Operator) -> None:
    shapes = [tensor.known for tensor in operator.inputs if tensor]
    if any(shape is None for shape in shapes):
        return
    known = [shape for shape in shapes if shape is not None]
    text = " and ".join(map(str, known))
    require(
        len({len(shape) for shape in known}) == 1, "the list of shapes", text, "of one rank"
    )
    axis = axis_of(operator.option(0), len(known[0]))
    for at, sizes in enumerate(zip(*known)):
        require(
            at == axis or len(set(sizes) - {None}) <= 1,
            "the list of shapes",
            text,
            f"equal but for dimension {axis}",
        )


def _has_one_axis(operator: Operator) -> None:
    values = operator.first(1)[0].integers()
    require(values is None or len(values) == 1, "axes", (values or ())[:8], "one")


def _splits(operator: Operator) -> None:
    position, data = operator.first(2)
    values = position.integers()
    if values is not None and data.known is not None:
        size, parts = data.known[axis_of(values[0], len(data.known))], len(operator.outputs)
        require(
            size is None or size % parts == 0,
            "the size to split",
            size,
            f"a multiple of {parts}",
        )


def _packs(operator: Operator) -> None:
    (first,) = operator.first(1)
    if first.known is not None:
        axis_of(operator.option(1), len(first.known) + 1)


def _has_all(operator: Operator) -> None:
    for position, tensor in enumerate(operator.inputs):
        require(tensor is not None, f"input {position}", "left out", "there")


def _unpacks(operator: Operator) -> None:
    (data,) = operator.first(1)
    if data.known is not None:
        size = data.known[axis_of(operator.option(1), len(data.known))]
        parts = len(operator.outputs)
        require(
            not differ(size, parts),
            "the number of outputs",
            parts,
            f"{size}, the size of the dimension",
        )


RULES = {
    2: Rule(
        "CONCATENATION", (1, MANY), (one_type, activation(1)), (_concatenates,), options=10
    ),
    49: Rule(
        "SPLIT",
        (2, 2),
        (counts("num_splits", "outputs"), input_is(0, INT32), _has_one_axis),
        (_splits,),
        outputs=None,
        options=35,
    ),
    83: Rule(
        "PACK",
        (1, MANY),
        (_has_all, one_type, counts("values_count", "inputs")),
        (_packs,),
        options=59,
    ),
    88: Rule(
        "UNPACK",
        (1, 1),
        (one_type, counts("num", "outputs")),
        (_unpacks,),
        outputs=None,
        options=64,
    ),
    102: Rule(
        "SPLIT_V",
        (3, 3),
        (counts("num_splits", "outputs"), input_is(2, INT32)),
        outputs=None,
        options=79,
    ),
}
