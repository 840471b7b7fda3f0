import tensorflow as tf

from larq_bcd._fused import fused, traced_for_this_cpu
from larq_bcd._shown import line


def _mean(x: tf.Tensor) -> tf.Tensor:
    """Of each channel; by rows, columns and images, each a short sum."""
    for axis in (1, 1, 0):
        x = tf.reduce_mean(x, axis)
    return x


@fused
def _normalized(x, gamma, beta, epsilon):
    """Returns the normalized batch, its means and its variances."""
    inputs = tf.cast(x, tf.float32)
    mean = _mean(inputs)
    centered = inputs - mean
    variance = _mean(centered * centered)
    outputs = centered * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    return tf.cast(outputs, x.dtype), mean, variance


@tf.keras.utils.register_keras_serializable("larq_bcd")
class BatchNormalization(tf.keras.layers.BatchNormalization):
    r"""Keras' batch normalization, whose statistics of a batch are exact to float32.

    TensorFlow's kernels for the CPU add up all values of a channel one after the other in
    float32, which for a batch of large images loses three of seven digits. In training on a
    CPU, the sums are taken here by rows, columns and images in turn.

    Input and output are NHWC, `(batch, height, width, channels)`, of the layer's compute
    dtype. The arguments are those of `tf.keras.layers.BatchNormalization`.

    Source: Ioffe and Szegedy, Batch Normalization (arXiv 1502.03167), algorithm 1.

    Examples:
        >>> import tensorflow as tf
        >>> from larq_bcd.layers import BatchNormalization
        >>> x = tf.random.normal((8, 14, 14, 32))
        >>> BatchNormalization(momentum=0.9)(x, training=True).shape
        TensorShape([8, 14, 14, 32])
    """

    __repr__ = line

    def call(self, inputs, training=None, mask=None):
        if not (training is True and self.trainable and self._is_exact(inputs)):
            return super().call(inputs, training=training, mask=mask)

        @tf.custom_gradient
        def normalized(x, gamma, beta):
            outputs, mean, variance = _normalized(x, gamma, beta, tf.constant(self.epsilon))

            def gradient(upstream, *of_statistics):
                of_x, of_gamma, of_beta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                    y_backprop=upstream,
                    x=x,
                    scale=gamma,
                    reserve_space_1=mean,
                    reserve_space_2=variance,
                    reserve_space_3=tf.zeros([0]),
                    epsilon=self.epsilon,
                )
                return of_x, of_gamma, of_beta

            return (outputs, mean, variance), gradient

        gamma, beta = map(tf.convert_to_tensor, (self.gamma, self.beta))
        outputs, mean, variance = normalized(inputs, gamma, beta)
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        unbiased = variance * count / tf.maximum(count - 1, 1.0)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign_sub((moving - tf.stop_gradient(value)) * (1 - self.momentum))
        return outputs

    def _is_exact(self, inputs) -> bool:
        usual = self.fused and self.scale and self.center and not self.renorm
        return usual and inputs.shape.rank == 4 and self.axis == [3] and traced_for_this_cpu()
