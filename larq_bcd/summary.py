"""What a network costs, by the convention of the papers."""

from dataclasses import dataclass

import tensorflow as tf

from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantShiftMLP


@dataclass(frozen=True)
class Cost:
    """Cost of one image through a network at inference.

    Attributes:
        parameters: trainable parameters, both heads included.
        binary_parameters: those of them that are one bit on the device.
        bops: binary multiply-accumulates.
        flops: real multiply-accumulates of convolutions and linear layers; averaged heads
            count once, because they merge into one.
    """

    parameters: int
    binary_parameters: int
    bops: int
    flops: int

    @property
    def ops(self) -> float:
        """`bops / 64 + flops`, the papers' OPs."""
        return self.bops / 64 + self.flops


def cost(model: tf.keras.Model) -> Cost:
    """Counts the operations and parameters of a functional network.

    Args:
        model: network with a static image size.

    Returns:
        Its cost.

    Raises:
        ValueError: if the image size is not static.
    """
    bops = flops = binary_parameters = 0
    merged = _merged_heads(model)
    for layer in model.layers:
        for kernel, positions, binary in _products(layer):
            if layer in merged:
                continue
            macs = tf.TensorShape(kernel.shape).num_elements() * positions
            bops, flops = (bops + macs, flops) if binary else (bops, flops + macs)
            binary_parameters += binary * kernel.shape.num_elements()
    parameters = sum(variable.shape.num_elements() for variable in model.trainable_weights)
    return Cost(parameters, binary_parameters, bops, flops)


def _products(layer):
    """The kernels of a layer, the positions each is applied at, and whether it is binary."""
    if isinstance(layer, QuantShiftMLP):
        for branch in (layer.pointwise, layer.short_range, layer.long_range):
            yield branch.kernel, _positions(layer), _is_binary(branch)
    elif isinstance(layer, tf.keras.layers.Conv2D):
        yield layer.kernel, _positions(layer), _is_binary(layer)
        if isinstance(layer, DynamicThresholdQuantConv2D):
            for kernel in (layer.context_kernel, layer.alpha_kernel, layer.beta_kernel):
                yield kernel, 1, False
    elif isinstance(layer, tf.keras.layers.Dense):
        yield layer.kernel, 1, _is_binary(layer)


def _positions(layer) -> int:
    height, width = layer.output_shape[1:3]
    if height is None or width is None:
        raise ValueError(
            f"the cost of {layer.name!r} depends on the image size: build the network with a "
            "static input_shape."
        )
    return height * width


def _is_binary(layer) -> bool:
    quantizers = (
        getattr(layer, "input_quantizer", None),
        getattr(layer, "kernel_quantizer", None),
    )
    return all(getattr(quantizer, "precision", None) == 1 for quantizer in quantizers)


def _merged_heads(model) -> list:
    """All but the first of the linear layers whose outputs are averaged."""
    heads = []
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.Average):
            averaged = [node.layer for node in layer.inbound_nodes[0].parent_nodes]
            if all(isinstance(head, tf.keras.layers.Dense) for head in averaged):
                heads += averaged[1:]
    return heads
