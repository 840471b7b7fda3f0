import tensorflow as tf

from larq_bcd.layers import _checks
from larq_bcd.layers.quant_conv2d import QuantConv2D


@tf.keras.utils.register_keras_serializable("larq_bcd")
class DynamicThresholdQuantConv2D(QuantConv2D):
    r"""Binary convolution whose thresholds and offsets are computed from its input.

    One contextual embedding \\(E\\) of the real-valued input \\(x\\) gives the thresholds
    \\(\alpha\\) of the sign, one per input channel, and the offsets \\(\beta\\), one per
    output channel:

    \\[ E = \mathrm{GAP}(x) W_1 + b_1, \quad
        \alpha = E W_2 + b_2, \quad
        \beta = E W_3 + b_3 \\]
    \\[ y = \mathrm{BiConv}(\mathrm{sign}(x + b - \alpha)) + \beta \\]

    \\(E\\) has `channels / reduction` values; \\(b\\) is the static threshold, one per input
    channel. \\(W_2\\) and \\(W_3\\) start at zero, so that a trained static network keeps its
    function. A channel-doubling pair of convolutions of the same signs is this layer with
    twice the filters: both halves share \\(E\\) and \\(\alpha\\), each has its own \\(\beta\\).

    Input `(batch, height, width, channels)`, output `(batch, new_height, new_width,
    filters)`, of the layer's compute dtype.

    Source: BCDNet (arXiv 2209.01404), equations 16 to 22. The paper leaves the size of
    \\(E\\), the biases and the static \\(b\\) open; the size is the one that reproduces the
    cost in its table 1.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel, or one size for both.
        reduction: input channels per value of the embedding.
        input_quantizer: quantizer of the shifted input.
        kernel_quantizer: quantizer of the kernel.
        threshold_initializer: initializer of the static threshold `b`.
        context_initializer: initializer of the embedding's kernel `W_1`.
        embedding_initializer: initializer of `W_2` and `W_3`.
        activation: activation function, after the offsets.

    The other arguments are those of `QuantConv2D`.

    Raises:
        ValueError: if the input channels do not divide by `reduction`, or for NCHW.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import DynamicThresholdQuantConv2D
        >>> conv = DynamicThresholdQuantConv2D(64, 3, padding="symmetric", use_bias=False)
        >>> x = tf.random.normal((2, 14, 14, 32))
        >>> conv(x).shape
        TensorShape([2, 14, 14, 64])
        >>> [value.shape for value in conv.contextual_embedding(x)]
        [TensorShape([2, 1, 1, 32]), TensorShape([2, 1, 1, 64])]
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        *,
        reduction=4,
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
        activation=None,
        use_bias=True,
        input_quantizer="approx_sign",
        kernel_quantizer="scaled_sign",
        threshold_initializer="zeros",
        context_initializer="glorot_uniform",
        embedding_initializer="zeros",
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            pad_values=pad_values,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            use_bias=use_bias,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.reduction = _checks.positive_integer(
            self.name, "reduction", reduction, ", 4 as in the paper"
        )
        self.threshold_initializer = tf.keras.initializers.get(threshold_initializer)
        self.context_initializer = tf.keras.initializers.get(context_initializer)
        self.embedding_initializer = tf.keras.initializers.get(embedding_initializer)
        self.output_activation = tf.keras.activations.get(activation)

    def build(self, input_shape):
        channels = _checks.channels(self.name, input_shape)
        _checks.divisible_channels(self.name, channels, self.reduction, "reduction")
        size = channels // self.reduction
        self.threshold = self.add_weight(
            name="threshold", shape=(channels,), initializer=self.threshold_initializer
        )
        self.context_kernel, self.context_bias = self._add_linear(
            "context", channels, size, self.context_initializer
        )
        self.alpha_kernel, self.alpha_bias = self._add_linear(
            "alpha", size, channels, self.embedding_initializer
        )
        self.beta_kernel, self.beta_bias = self._add_linear(
            "beta", size, self.filters, self.embedding_initializer
        )
        super().build(input_shape)

    def _add_linear(self, name, inputs, outputs, initializer):
        kernel = self.add_weight(
            name=f"{name}_kernel", shape=(inputs, outputs), initializer=initializer
        )
        bias = self.add_weight(name=f"{name}_bias", shape=(outputs,), initializer="zeros")
        return kernel, bias

    def contextual_embedding(self, inputs):
        """Returns thresholds `(batch, 1, 1, channels)` and offsets `(batch, 1, 1, filters)`.

        Args:
            inputs: real-valued NHWC tensor.
        """
        pooled = tf.reduce_mean(inputs, axis=(1, 2))
        context = tf.matmul(pooled, self.context_kernel) + self.context_bias
        alpha = tf.matmul(context, self.alpha_kernel) + self.alpha_bias
        beta = tf.matmul(context, self.beta_kernel) + self.beta_bias
        return (
            tf.reshape(alpha, (-1, 1, 1, alpha.shape[-1])),
            tf.reshape(beta, (-1, 1, 1, beta.shape[-1])),
        )

    def call(self, inputs, training=None):
        alpha, beta = self.contextual_embedding(inputs)
        outputs = super().call(inputs + (self.threshold - alpha), training) + beta
        return self.output_activation(outputs)

    def get_config(self):
        serialize = tf.keras.initializers.serialize
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "threshold_initializer": serialize(self.threshold_initializer),
            "context_initializer": serialize(self.context_initializer),
            "embedding_initializer": serialize(self.embedding_initializer),
            "activation": tf.keras.activations.serialize(self.output_activation),
        }
