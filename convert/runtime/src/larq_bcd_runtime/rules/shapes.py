"""Checks of shapes that many operators share."""

from larq_bcd_runtime.rules.rule import Check, Operator, Shape, differ, require


def rank(position: int, *ranks: int) -> Check:
    """An input has so many dimensions."""

    def check(operator: Operator) -> None:
        tensor = operator.input(position)
        if tensor is not None and tensor.known is not None:
            allowed = " or ".join(map(str, ranks))
            require(
                len(tensor.known) in ranks,
                f"the rank of input {position}",
                len(tensor.known),
                allowed,
            )

    return check


def _agree(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and not any(map(differ, a, b))


def keeps_shape(operator: Operator) -> None:
    """XNNPACK computes some constants before LiteRT corrects the shape of what is written."""
    before, after = operator.inputs[0], operator.outputs[0]
    if before is None or before.known is None or after.known is None:
        return
    require(
        _agree(before.known, after.known),
        "the shape of the output",
        after.known,
        f"{before.known} as that of the input",
    )


def same_shapes(operator: Operator) -> None:
    """XNNPACK and LiteRT read as much of each input as the first has."""
    shapes = [tensor.known for tensor in operator.inputs if tensor and tensor.known is not None]
    for shape in shapes:
        require(
            _agree(shape, shapes[0]),
            "the shape of an input",
            shape,
            f"{shapes[0]} as that of the first",
        )


def broadcasts(operator: Operator) -> None:
    """Sizes are equal or 1, counted from the last dimension."""
    shapes = [tensor.known for tensor in operator.inputs if tensor]
    if any(shape is None for shape in shapes):
        return
    for sizes in zip(*(reversed(shape) for shape in shapes if shape)):
        require(
            len({size for size in sizes if size not in (None, 1)}) <= 1,
            "the list of shapes",
            " and ".join(map(str, shapes)),
            "equal, or 1 where they are not",
        )
