"""What a network costs: the sum over its layers."""

from dataclasses import dataclass, field, replace

import tensorflow as tf

from larq_bcd.errors import UserError
from larq_bcd.summary import layer_rules


@dataclass(frozen=True)
class Cost:
    """Cost of one image at inference, of a layer or of a network.

    Attributes:
        parameters: trainable parameters; of a network, all heads included.
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


@dataclass(frozen=True, repr=False)
class Summary:
    """The cost of each layer of a network, and of the network.

    `print` shows it as a table, and so does a notebook.
    """

    name: str
    layers: list[LayerCost] = field(default_factory=list)

    @property
    def total(self) -> Cost:
        """The sum over the layers."""
        return sum((layer.cost for layer in self.layers), Cost())

    def __repr__(self) -> str:
        total = self.total
        return (
            f"<{type(self).__name__} of {self.name}: {total.parameters:,} parameters, "
            f"{total.binary_parameters:,} of them binary; {total.ops / 1e8:.2f}e8 OPs>"
        )

    def __str__(self) -> str:
        from larq_bcd.summary.render import as_table

        return as_table(self)

    def _repr_html_(self) -> str:
        from larq_bcd.summary.render import as_html

        return as_html(self)

    @property
    def shipped_ops(self) -> float:
        """OPs where the layers that a conversion leaves in float are counted as such."""
        return sum(
            layer.cost.bops + layer.cost.flops if layer.reason_for_float else layer.cost.ops
            for layer in self.layers
        )

    @property
    def shipped_memory(self) -> int:
        """Bytes of the variables where those of such layers take 32 bits each."""
        binary = (
            layer.cost.binary_parameters for layer in self.layers if not layer.reason_for_float
        )
        return replace(self.total, binary_parameters=sum(binary)).memory


def cost(model: tf.keras.Model) -> Cost:
    """Counts the operations and parameters of a network.

    Args:
        model: functional or sequential network with a static image size.

    Raises:
        UserError: if the image size is not static, or a layer is not known.
    """
    return Summary(model.name, list(_layer_costs(model))).total


def summarize(model: tf.keras.Model) -> Summary:
    """Counts the operations and parameters of each layer of a network.

    Args:
        model: functional or sequential network with a static image size.

    Returns:
        The cost of each layer, and whether it would become binary.

    Raises:
        UserError: if the image size is not static, or a layer is not known.
    """
    # Imported here: to count a network takes no converter.
    from larq_bcd.convert.reasons import expected_reasons

    costs = list(_layer_costs(model))
    reasons = expected_reasons(model)

    def reason(name: str) -> str | None:
        of_layer = (text for key, text in reasons.items() if f"{key}/".startswith(f"{name}/"))
        return next(of_layer, None)

    layers = [replace(layer, reason_for_float=reason(layer.name)) for layer in costs]
    return Summary(model.name, layers)


def _layer_costs(
    model: tf.keras.Model, around: str = "", times: int = 1, is_first: bool = True
):
    merged = _merged_heads(model)
    calls = _calls(model)
    for layer in model.layers:
        name = f"{around}{layer.name}"
        count = times * calls.get(layer.name, 1)
        first = is_first and layer_rules.is_real_first(layer)
        if isinstance(layer, tf.keras.Model):
            yield from _layer_costs(layer, f"{name}/", count, first)
        else:
            yield _layer_cost(layer, name, 0 if layer in merged else count, first)


def _calls(model: tf.keras.Model) -> dict[str, int]:
    """How often a network calls each of its layers."""
    if isinstance(model, tf.keras.Sequential):
        return {}
    return {
        layer["name"]: max(1, len(layer["inbound_nodes"]))
        for layer in model.get_config()["layers"]
    }


def _layer_cost(layer, name: str, executed: int, is_first: bool) -> LayerCost:
    inputs, outputs = layer.get_input_shape_at(0), layer.get_output_shape_at(0)
    if isinstance(outputs, list) and len(outputs) == 1:  # of an input layer
        outputs = outputs[0]
    for shape in _shapes(inputs) + _shapes(outputs):
        if None in shape[1:]:
            raise UserError(
                f"the cost of {layer.name!r} depends on the image size: build the network "
                "with a static input_shape."
            )
    found = list(layer_rules.products(layer, inputs, outputs))
    trainable = sum(weight.shape.num_elements() for weight in layer.trainable_weights)
    others = sum(weight.shape.num_elements() for weight in layer.non_trainable_weights)
    binary = 0 if is_first else sum(product.binary_parameters for product in found)
    counted = Cost(
        parameters=trainable,
        binary_parameters=binary,
        other_variables=others,
        bops=executed * sum(product.macs for product in found if product.is_binary),
        flops=executed * sum(product.macs for product in found if not product.is_binary),
        elementwise=executed * layer_rules.elementwise(layer, inputs, outputs),
    )
    return LayerCost(name, type(layer).__name__, tuple(outputs[1:]), counted)


def _shapes(shape) -> list[tuple]:
    return list(shape) if isinstance(shape, list) else [shape]


def _merged_heads(model: tf.keras.Model) -> list:
    """Averaged linear layers but the first, and their mean: they become one linear layer."""
    heads: list = []
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.Average):
            averaged = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
            if all(isinstance(head, tf.keras.layers.Dense) for head in averaged):
                heads += [*averaged[1:], layer]
    return heads
