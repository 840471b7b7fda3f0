import tensorflow as tf

from larq_bcd._shown import line
from larq_bcd.layers import _checks, _quantizers
from larq_bcd.layers.quant_conv2d import QuantConv2D
from larq_bcd.layers.spatial_shift import SpatialShift

_BRANCHES = ("pointwise", "short_range", "long_range")


@tf.keras.utils.register_keras_serializable("larq_bcd")
class QuantShiftMLP(tf.keras.layers.Layer):
    r"""Long-short-range binary MLP: three pointwise binary products of shifted signs.

    \\[ y = P(\mathrm{sign}(x)) + S(\mathrm{shift}_s(\mathrm{sign}(x)))
          + L(\mathrm{shift}_l(\mathrm{sign}(x))) \\]

    \\(P\\), \\(S\\) and \\(L\\) are 1x1 binary convolutions, each with its own kernel and
    scales. The real tensor is shifted before it is signed, which is the same function: Larq
    Compute Engine wants nothing between a sign and its convolution.

    Input `(batch, height, width, channels)`, output `(batch, height, width, filters)`, of
    the layer's compute dtype.

    Source: BCDNet (arXiv 2209.01404), equations 14 and 15.

    Args:
        filters: number of output channels.
        short_range: shift of \\(S\\) in pixels, or `"half"`; see `SpatialShift`.
        long_range: shift of \\(L\\) in pixels, or `"half"` for half of the feature map.
            Two long ranges give the paper's P-L-L, two short ones its P-S-S.
        input_quantizer: quantizer of the input.
        kernel_quantizer: quantizer of the kernels.
        kernel_initializer: initializer of the latent kernels.
        kernel_regularizer: regularizer of the latent kernels.
        kernel_constraint: constraint of the latent kernels.
        data_format: `"channels_last"`.

    Raises:
        ValueError: if the channels do not divide by 4, if a range is not smaller than the
            feature map, or for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import QuantShiftMLP
        >>> x = tf.random.normal((1, 14, 14, 32))
        >>> QuantShiftMLP(64, short_range=1, long_range="half")(x).shape
        TensorShape([1, 14, 14, 64])
    """

    __repr__ = line

    def __init__(
        self,
        filters,
        short_range=1,
        long_range="half",
        input_quantizer="approx_sign",
        kernel_quantizer="scaled_sign",
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.data_format = _checks.channels_last(self.name, data_format)
        policy = self.dtype_policy.name
        self.short_shift = SpatialShift(short_range, name="short_shift", dtype=policy)
        self.long_shift = SpatialShift(long_range, name="long_shift", dtype=policy)
        self.pointwise = QuantConv2D(
            filters,
            kernel_size=1,
            use_bias=False,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            kernel_constraint=kernel_constraint,
            name="pointwise",
            dtype=policy,
        )
        self.short_range = self._branch("short_range")
        self.long_range = self._branch("long_range")

    def _branch(self, name):
        # From its configuration, because an initializer object gives the same kernel twice.
        quantizer = _quantizers.named_after(self.pointwise.kernel_quantizer, name)
        config = {**self.pointwise.get_config(), "kernel_quantizer": quantizer, "name": name}
        return QuantConv2D.from_config(config)

    def __call__(self, inputs, *args, **kwargs):
        _quantizers.warn_of_no_gradient(self, self.pointwise.input_quantizer, inputs)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape):
        for layer in (self.short_shift, self.long_shift):
            layer.build(input_shape)
        for layer in (self.pointwise, self.short_range, self.long_range):
            with tf.name_scope(layer.name):
                layer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs):
        return (
            self.pointwise(inputs)
            + self.short_range(self.short_shift(inputs))
            + self.long_range(self.long_shift(inputs))
        )

    def compute_output_shape(self, input_shape):
        return self.pointwise.compute_output_shape(input_shape)

    def get_config(self):
        own = {"short_range": self.short_shift.shift, "long_range": self.long_shift.shift}
        of_kernel = ("quantizer", "initializer", "regularizer", "constraint")
        names = ("filters", "input_quantizer", *(f"kernel_{part}" for part in of_kernel))
        branch = self.pointwise.get_config()
        shared = {name: branch[name] for name in (*names, "data_format")}
        frozen = [part for part in _BRANCHES if not getattr(self, part).trainable]
        own |= {"frozen": frozen} if frozen and self.trainable else {}
        return {**super().get_config(), **own, **shared}

    @classmethod
    def from_config(cls, config):
        layer = cls(**{name: value for name, value in config.items() if name != "frozen"})
        for part in config.get("frozen", ()):
            getattr(layer, part).trainable = False
        return layer
