"""What a layer or a network costs, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Cost of one image at inference, of a layer or of a network.

    Attributes:
        parameters: trainable parameters, frozen or not; of a network, all heads included.
        binary_parameters: those of them that train as binary, and are one bit on the device
            unless a layer has a reason for float; not of a first layer of real input.
        other_variables: variables that are not trained, such as the statistics of a batch
            norm.
        bops: binary multiply-accumulates.
        flops: real multiply-accumulates of convolutions, linear layers and products of
            activations; averaged heads count once, because they merge into one.
        elementwise: FLOPs on single elements, which the papers do not count.
    """

    parameters: int = 0
    binary_parameters: int = 0
    other_variables: int = 0
    bops: int = 0
    flops: int = 0
    elementwise: int = 0

    @property
    def ops(self) -> float:
        """`bops / 64 + flops`, the papers' OPs."""
        return self.bops / 64 + self.flops

    @property
    def full_ops(self) -> float:
        """`ops + elementwise`."""
        return self.ops + self.elementwise

    @property
    def memory(self) -> int:
        """Bytes of the variables: one bit for a binary parameter, 32 for any other."""
        others = self.parameters - self.binary_parameters + self.other_variables
        return -(-self.binary_parameters // 8) + 4 * others

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(**{key: value + vars(other)[key] for key, value in vars(self).items()})


@dataclass(frozen=True)
class LayerCost:
    """A layer and its cost.

    Attributes:
        name: its name, with those of the models around it.
        type: its class.
        output_shape: of one image, without the batch.
        cost: what it costs.
        reason_for_float: why a strict conversion would leave its binary products in float;
            None if it would not.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    cost: Cost
    reason_for_float: str | None = None
