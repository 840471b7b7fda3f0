"""What the layers know of the quantizers that they are given."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

import larq as lq
import tensorflow as tf

from larq_bcd.quantizers import ApproxSign, ScaledSign, WideSign

SIGNS = (lq.quantizers.SteSign, lq.quantizers.ApproxSign, lq.quantizers.SwishSign)
# Exactly these and no subclass, which may scale what it signs.
PLAIN_SIGNS = {*SIGNS, ApproxSign, WideSign}
# What hands on the values that it gets: signs stay signs.
_HANDING_ON = (
    tf.keras.layers.MaxPooling2D,
    tf.keras.layers.ZeroPadding2D,
    tf.keras.layers.Cropping2D,
    tf.keras.layers.Reshape,
    tf.keras.layers.Permute,
    tf.keras.layers.Flatten,
)
KERNEL_SIGNS = {*PLAIN_SIGNS, ScaledSign, lq.quantizers.MagnitudeAwareSign}


def with_policy(quantizer, policy: str):
    """The quantizer in the layer's precision: a layer itself, it casts to its own policy.

    larq's `ApproxSign` becomes the one of this package, which is the same function.
    """
    own_policy = getattr(quantizer, "dtype_policy", None)
    kind = type(quantizer)
    kind = ApproxSign if kind is lq.quantizers.ApproxSign else kind
    if own_policy is None or (own_policy.name == policy and kind is type(quantizer)):
        return quantizer
    return _again(quantizer, kind, dtype=policy)


def named_after(quantizer, part: str):
    """The quantizer once more for a part of a layer, whose metrics get names of their own."""
    if not isinstance(quantizer, tf.keras.layers.Layer):
        return quantizer
    return _again(quantizer, type(quantizer), name=f"{quantizer.name}_{part}")


def _again(quantizer, kind: type[tf.keras.layers.Layer], **changes):
    again = kind.from_config({**quantizer.get_config(), **changes})
    again._custom_metrics = getattr(quantizer, "_custom_metrics", None)
    return again


def warn_of_no_gradient(layer: tf.keras.layers.Layer, quantizer, inputs) -> None:
    """Warns of a layer that signs what `approx_sign` has signed already.

    At 1 and -1 the derivative of `approx_sign`, \\(2 - 2 |x|\\), is zero.
    """
    history = getattr(inputs, "_keras_history", None)
    while history is not None and isinstance(history.layer, _HANDING_ON):
        [inputs] = history.layer.inbound_nodes[history.node_index].keras_inputs
        history = inputs._keras_history
    if history is None:
        return
    before = history.layer
    signs = [getattr(before, name, None) for name in ("quantizer", "activation")]
    approximate = lq.quantizers.ApproxSign
    if isinstance(quantizer, approximate) and any(isinstance(x, approximate) for x in signs):
        warnings.warn(
            f"{layer.name}: input_quantizer={type(quantizer).__name__} gets signs from "
            f"{before.name}, and passes no gradient where its input is 1 or -1: nothing before "
            "it is trained. Leave input_quantizer out, or put a LearnableBias or a "
            f"DynamicThreshold in the place of {before.name}.",
            stacklevel=3,
        )


@contextlib.contextmanager
def unclipped_latent_weights() -> Iterator[None]:
    """Silences larq's advice to clip the latent weights: the papers clip their gradient."""
    logger = logging.getLogger("larq.layers_base")

    def without_advice(record: logging.LogRecord) -> bool:
        return "kernel_constraint" not in record.getMessage()

    logger.addFilter(without_advice)
    try:
        yield
    finally:
        logger.removeFilter(without_advice)
