"""Batch normalization over the batch of all replicas."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("larq_bcd")
class SynchronizedBatchNormalization(tf.keras.layers.BatchNormalization):
    """Normalizes by the statistics of the whole batch, as one device would.

    Keras has `synchronized=True`, but its moving variance is then the biased one, where that
    of one device, in Keras as in PyTorch, is the unbiased: n replicas would not train the
    network that one replica does.

    Input and output are NHWC tensors; the arguments are those of `BatchNormalization`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = False

    def call(self, inputs, training=None):
        x = tf.cast(inputs, tf.float32)
        training = tf.keras.backend.learning_phase() if training is None else training
        if not training or not self.trainable:
            mean, variance = self.moving_mean, self.moving_variance
        else:
            mean, variance = self._of_all_replicas(x)
        outputs = tf.nn.batch_normalization(
            x, mean, variance, self.beta, self.gamma, self.epsilon
        )
        return tf.cast(outputs, inputs.dtype)

    def _of_all_replicas(self, x):
        """Returns mean and variance, and updates the moving ones."""
        axes = list(range(x.shape.rank - 1))
        # Around the moving mean, so that the difference of squares keeps its digits.
        center = tf.stop_gradient(tf.convert_to_tensor(self.moving_mean))
        centered = x - center
        sums = tf.stack([tf.reduce_mean(centered, axes), tf.reduce_mean(centered**2, axes)])
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            sums = context.all_reduce(tf.distribute.ReduceOp.MEAN, sums)
        offset, square = tf.unstack(sums)
        variance = tf.maximum(square - offset**2, 0.0)
        mean = center + offset
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        count = tf.cast(tf.size(x) // x.shape[-1] * replicas, tf.float32)
        unbiased = variance * count / tf.maximum(count - 1, 1.0)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            moving.assign_sub((moving - tf.stop_gradient(value)) * (1 - self.momentum))
        return mean, variance
