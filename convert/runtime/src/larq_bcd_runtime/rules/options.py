"""Checks of options that many operators share; an option is known by its number."""

from larq_bcd_runtime.rules.rule import Check, Operator, require

# Larger strides, windows and sizes of blocks overflow LiteRT's arithmetic.
LARGEST = 1 << 16


def positive(default: int = 0, **numbers: int) -> Check:
    """Strides, dilations and sizes, by name and number."""

    def check(operator: Operator) -> None:
        for name, number in numbers.items():
            value = operator.option(number, default=default)
            require(0 < value < LARGEST, name, value, f"from 1 to {LARGEST - 1}")

    return check


def padding(operator: Operator) -> None:
    """The first option of what has a window."""
    value = operator.option(0, "<b")
    require(value in (0, 1), "padding", value, "0 (SAME) or 1 (VALID)")


def activation(number: int) -> Check:
    """What is fused to an operator."""

    def check(operator: Operator) -> None:
        value = operator.option(number, "<b")
        require(0 <= value <= 5, "fused_activation_function", value, "from 0 to 5")

    return check


def counts(name: str, what: str) -> Check:
    """LiteRT reads and writes as many tensors as the option says."""

    def check(operator: Operator) -> None:
        tensors = getattr(operator, what)
        require(
            operator.option(0) == len(tensors) > 0,
            name,
            operator.option(0),
            f"{len(tensors)}, the number of {what}, and at least 1",
        )

    return check
