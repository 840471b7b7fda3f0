"""A network under training: its losses, its teacher, its metrics."""

from collections.abc import Callable

import larq as lq
import tensorflow as tf

from larq_bcd.models import with_training_heads
from larq_bcd.training.recipe import Loss


class DistillingModel(tf.keras.Model):
    r"""Trains a network on labels, and on the probabilities of a teacher if there is one.

    \\[ L = (1 - d) \, \mathrm{CE}_\epsilon(\mathrm{labels}, \mathrm{fc})
          + d \, \mathrm{CE}(\mathrm{softmax}(\mathrm{teacher}), \mathrm{fc\_dist}) \\]

    With \\(d\\) of a half and label smoothing \\(\epsilon\\) of 0.1 it is BCDNet's loss. A
    network of one head has both terms on it; with no teacher, the mean of the heads has the
    labels' term alone. The second term is the mean over the batch of
    \\(-\sum \mathrm{softmax}(t) \log \mathrm{softmax}(s)\\), at temperature 1.

    In validation, loss and accuracy are those of the network's own output and of the plain
    labels.

    Source: BCDNet (arXiv 2209.01404), official code.

    Args:
        network: a network of logits.
        loss: weights of the losses.
        teach: from normalized images to the teacher's logits, `(batch, classes)`; needed if
            `loss.distillation` is not 0.
    """

    def __init__(
        self,
        network: tf.keras.Model,
        loss: Loss,
        teach: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        super().__init__(name=f"{network.name}_training")
        self.network = network
        self._student = network
        names = [layer.name for layer in network.layers]
        if loss.distillation and {"fc", "fc_dist"} <= set(names):
            self._student = with_training_heads(network)
        self._weights_of_loss = loss
        # Callables are not tracked, so the teacher is not part of a checkpoint.
        self._teach = teach
        self._label_loss = tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=loss.label_smoothing, reduction="none"
        )
        self._plain_loss = tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction="none"
        )
        self._mean_loss = tf.keras.metrics.Mean("loss")
        self._accuracy = tf.keras.metrics.CategoricalAccuracy("accuracy")
        kernels = binary_kernels(network)
        # Nor are these tracked, which would be trained in a layer that is not.
        self._kernels = lambda: kernels
        self._flips = FlipRatio([kernel.shape for kernel in kernels]) if kernels else None
        self.built = True

    def call(self, inputs, training=None):
        return self.network(inputs, training=training)

    @property
    def metrics(self):
        """The metrics that Keras resets at the start of each epoch."""
        metrics = [self._mean_loss, self._accuracy]
        return metrics if self._flips is None else [*metrics, self._flips]

    def _dense(self, labels):
        """Labels as probabilities, `(batch, classes)`."""
        if labels.dtype.is_floating:
            return labels
        return tf.one_hot(labels, self.network.output_shape[-1])

    def _losses_and_logits(self, images, labels) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each image, and the logits."""
        share = self._weights_of_loss.distillation
        outputs = self._student(images, training=True)
        if not share or self._teach is None:
            return self._label_loss(labels, outputs), outputs
        taught = tf.nn.softmax(tf.cast(self._teach(images), tf.float32))
        heads = outputs if isinstance(outputs, list) else [outputs, outputs]
        of_labels = self._label_loss(labels, heads[0])
        of_teacher = self._plain_loss(tf.stop_gradient(taught), heads[1])
        return (1 - share) * of_labels + share * of_teacher, (heads[0] + heads[1]) / 2

    def train_step(self, data):
        """Makes one step of the optimizer; returns the metrics of the epoch so far."""
        images, labels = data
        labels = self._dense(labels)
        with tf.GradientTape() as tape:
            losses, logits = self._losses_and_logits(images, labels)
            # The gradients of the replicas are added up.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            loss = tf.reduce_mean(losses) / replicas
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        self._mean_loss.update_state(losses)
        self._accuracy.update_state(labels, logits)
        if self._flips is not None:
            self._flips.update_state(self._kernels())
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        """Returns the metrics of the validation so far."""
        images, labels = data
        labels = self._dense(labels)
        logits = self(images, training=False)
        self._mean_loss.update_state(self._plain_loss(labels, logits))
        self._accuracy.update_state(labels, logits)
        return {metric.name: metric.result() for metric in (self._mean_loss, self._accuracy)}


class FlipRatio(tf.keras.metrics.Metric):
    """The share of a network's binary weights that change their sign in a step: larq's metric.

    Args:
        shapes: of the latent kernels.
    """

    def __init__(self, shapes: list[tf.TensorShape]):
        super().__init__(name="flip_ratio")
        self._sizes = [float(shape.num_elements()) for shape in shapes]
        # Booleans, because several processes cannot exchange int8.
        self._ratios = [
            lq.metrics.FlipRatio("bool", name=f"flip_ratio_{index}")
            for index in range(len(shapes))
        ]
        for shape, ratio in zip(shapes, self._ratios, strict=True):
            ratio.build(shape)

    def update_state(self, kernels: list[tf.Variable]) -> None:
        for kernel, ratio in zip(kernels, self._ratios, strict=True):
            ratio.update_state(kernel >= 0)

    def result(self) -> tf.Tensor:
        """Returns the mean over the steps since the reset, a scalar in [0, 1]."""
        flipped = [
            size * ratio.result() for size, ratio in zip(self._sizes, self._ratios, strict=True)
        ]
        return tf.add_n(flipped) / sum(self._sizes)

    def reset_state(self) -> None:
        for ratio in self._ratios:
            ratio.reset_state()


def binary_kernels(network: tf.keras.Model) -> list[tf.Variable]:
    """Returns the latent kernels that a network binarizes."""
    return [
        layer.kernel
        for layer in network.submodules
        if isinstance(layer, tf.keras.layers.Layer)
        and getattr(layer, "kernel_quantizer", None) is not None
        and isinstance(getattr(layer, "kernel", None), tf.Variable)
    ]
