"""The rules of LiteRT's own operators, those that binary networks are made of.

LiteRT checks many of them itself, but not all, and not in every release: it writes as many
outputs of a SPLIT as its options say, divides by a stride of 0, and ends the program on a scale
of 0. Each family of operators has a module with a table, by the schema's numbers of operators.
"""

from typing import Optional

from larq_bcd_runtime.flatbuffer import Damaged, Table
from larq_bcd_runtime.rules import elementwise, movement, parts, windows
from larq_bcd_runtime.rules.rule import Operator, Rule, ShapesDisagree, Tensor

__all__ = ["RULES", "ShapesDisagree", "Tensor", "check_operator"]

RULES: dict[int, Rule] = {**windows.RULES, **elementwise.RULES, **parts.RULES, **movement.RULES}


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
        Damaged: it breaks one of its rules; the message names it, what is wrong, and what would
            be right.
        ShapesDisagree: likewise, but only if the file's shapes of activations hold.
    """
    rule = RULES.get(code)
    if rule is None:
        return
    has_own_options = table.number(3, "<B") == rule.options
    operator = Operator(inputs, outputs, table.table(4) if has_own_options else None)
    try:
        rule.judge(operator)
    except Damaged as damage:
        raise type(damage)(f"operator {number}, {rule.name}: {damage}") from None
