import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers import _initial_values as initial_values
from larq_bcd.layers._hyper_function import HyperFunction
from larq_bcd.layers._layer import Layer


class _UnitInterval(tf.keras.constraints.Constraint):
    """Keeps a share between nothing and all."""

    def __call__(self, weight):
        return tf.clip_by_value(weight, 0.0, 1.0)


class _Squeeze(HyperFunction):
    """The squeeze and the expansion, which start as PyTorch's convolutions do."""

    def initializers(self, channels: int, hidden: int) -> dict:
        return {
            "hidden_kernel": initial_values.of_kernel(),
            "hidden_bias": initial_values.of_bias(channels),
            "output_kernel": initial_values.of_kernel(),
            "output_bias": initial_values.of_bias(hidden),
        }


@tf.keras.utils.register_keras_serializable("larq_bcd")
class InformationRecoupling(Layer):
    r"""Weights the channels of a binary branch by what it and its real input have in common.

    \\[ y = \mathrm{sigmoid}(g(s \, x + (1 - s) \, b)) \, b \\]

    for the branch \\(b\\) and the input \\(x\\), a learned share \\(s\\) of each
    channel, kept in [0, 1], and a hyper function \\(g\\) of the channel means with
    `channels / reduction` hidden values, whose weights start as those of a convolution.

    Takes `[b, x]`, both NHWC of the same shape `(batch, height, width, channels)`, and returns
    that shape, of the layer's compute dtype.

    Source: BNext (arXiv 2211.12933), the Info-RCP module, and its official code.

    Args:
        reduction: channels per hidden value.
        share_initializer: initializer of the share, of shape `(channels,)`; the default is a
            constant 0.5.

    Raises:
        ValueError: if the reduction is not a positive integer or the channels are not known.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import InformationRecoupling
        >>> branch, x = tf.random.normal((2, 1, 14, 14, 32))
        >>> InformationRecoupling()([branch, x]).shape
        TensorShape([1, 14, 14, 32])
    """

    saved = ("reduction", "share_initializer")

    def __init__(self, reduction=8, share_initializer=None, **kwargs):
        super().__init__(**kwargs)
        self.hyper_function = _Squeeze(self.name, reduction)
        self.reduction = self.hyper_function.reduction
        if share_initializer is None:
            share_initializer = tf.keras.initializers.Constant(0.5)
        self.share_initializer = tf.keras.initializers.get(share_initializer)

    def build(self, input_shape):
        channels = _checks.channels(self.name, input_shape[0])
        self.share = self.add_weight(
            name="share",
            shape=(channels,),
            initializer=self.share_initializer,
            constraint=_UnitInterval(),
        )
        self.hyper_function.build(self, input_shape[0], outputs=channels)
        super().build(input_shape)

    def call(self, inputs):
        branch, source = inputs
        mixed = self.share * source + (1 - self.share) * branch
        return tf.sigmoid(self.hyper_function(mixed)) * branch

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape[0])
