"""What a rule is, and what it judges: an operator of the file with its tensors."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Optional

from larq_bcd_runtime.flatbuffer import Damaged, Table

# The schema's numbers of types.
FLOAT32, FLOAT16, INT32, UINT8, INT64, BOOL, INT16, INT8, INT4 = 0, 1, 2, 3, 4, 6, 7, 9, 17
_TYPES = {
    FLOAT32: "float32", FLOAT16: "float16", INT32: "int32", UINT8: "uint8", INT64: "int64",
    BOOL: "bool", INT16: "int16", INT8: "int8", INT4: "int4",
}  # fmt: skip
# Of operators with any number of inputs.
MANY = 1 << 20

Shape = tuple[Optional[int], ...]


class ShapesDisagree(Damaged):
    """Shapes that the file claims for activations contradict each other or an option.

    LiteRT computes these shapes anew, so the file may be sound all the same.
    """


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        shape: as the file has it.
        known: the dimensions that the file fixes, None for those that it leaves open; None
            altogether if not even their number is certain.
        kind: the schema's number of its type.
        data: of a constant; else empty.
        is_variable: whether it keeps its value from one run to the next.
        scales: of a quantized tensor, one or one for each slice of a dimension; None if they
            stand elsewhere, as those of blocks do.
        zero_points: likewise.
        is_sparse: whether its data leave out zeros, so that they are less than its shape says.
    """

    shape: tuple[int, ...]
    known: Optional[Shape]
    kind: int
    data: memoryview
    is_variable: bool
    scales: Optional[tuple[float, ...]]
    zero_points: tuple[int, ...]
    is_sparse: bool

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

    @property
    def tensors(self) -> list[Tensor]:
        """What it reads and writes."""
        return [tensor for tensor in (*self.inputs, *self.outputs) if tensor is not None]

    def input(self, position: int) -> Optional[Tensor]:
        """Returns an input, None if it does without."""
        return self.inputs[position] if position < len(self.inputs) else None

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
        checks: of types, options and constants; they raise `Damaged` with what is wrong.
        shapes: checks of the shapes that the file claims for activations.
        outputs: how many; None for any number.
        options: the schema's number of the type of its options, if any is looked at.
    """

    name: str
    inputs: tuple[int, int]
    checks: tuple[Check, ...] = ()
    shapes: tuple[Check, ...] = ()
    outputs: Optional[int] = 1
    options: int = 0

    def judge(self, operator: Operator) -> None:
        """Raises `Damaged` or `ShapesDisagree` if an operator breaks the rule."""
        low, high = self.inputs
        count = f"{low}" if low == high else f"{low} to {high}" if high < MANY else f"{low} up"
        require(
            low <= len(operator.inputs) <= high,
            "the number of inputs",
            len(operator.inputs),
            count,
        )
        for position, tensor in enumerate(operator.inputs[:low]):
            require(tensor is not None, f"input {position}", "left out", "there")
        if self.outputs is not None:
            require(
                len(operator.outputs) == self.outputs,
                "the number of outputs",
                len(operator.outputs),
                str(self.outputs),
            )
        for check in self.checks:
            check(operator)
        try:
            for check in self.shapes:
                check(operator)
        except Damaged as damage:
            raise ShapesDisagree(str(damage)) from None


def require(holds: bool, argument: str, value: object, allowed: str) -> None:
    """Raises `Damaged` with an argument, its value and what is allowed, if it does not hold."""
    if not holds:
        raise Damaged(f"{argument} is {value}, and has to be {allowed}")


def type_name(kind: int) -> str:
    """Returns what a type is called."""
    return _TYPES.get(kind, f"type {kind}")


def differ(a: Optional[int], b: Optional[int]) -> bool:
    """Returns whether two sizes are known to differ."""
    return a is not None and b is not None and a != b


def axis_of(axis: int, rank: int) -> int:
    """Returns a dimension, counted from the front."""
    require(-rank <= axis < rank, "axis", axis, f"one of {rank} dimensions")
    return axis % rank
