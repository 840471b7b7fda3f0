"""Optimizers as the papers' code has them, which is PyTorch's."""

import tensorflow as tf

from larq_bcd.layers import LearnableBias
from larq_bcd.training.recipe import Optimizer
from larq_bcd.training.schedules import WarmUpThenDecay

# PyTorch's default.
_EPSILON = 1e-8


class _AdamW(tf.keras.optimizers.Adam):
    """Adam by TensorFlow's one operation, where Keras has a dozen for each variable.

    Keras' `weight_decay` is apart from the gradient, as AdamW's is. Epsilon is added to the
    unbiased root, as in the paper (arXiv 1412.6980) and in PyTorch.
    """

    def update_step(self, gradient, variable):
        step = tf.cast(self.iterations + 1, variable.dtype)
        powers = [tf.pow(tf.cast(x, variable.dtype), step) for x in (self.beta_1, self.beta_2)]
        index = self._index_dict[self._var_key(variable)]
        return tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon * tf.sqrt(1 - powers[1]),
            grad=gradient,
        )


class _DecayInGradient(tf.keras.optimizers.Optimizer):
    """Adds `decay * weight` to the gradient, as PyTorch's Adam and SGD do.

    The `weight_decay` of Keras' optimizers shrinks the weights apart from the gradient.
    """

    decay = 0.0

    def update_step(self, gradient, variable):
        if self.decay and self._use_weight_decay(variable):
            gradient = gradient + self.decay * variable
        super().update_step(gradient, variable)


class _Adam(_DecayInGradient, _AdamW):
    pass


class _SGD(_DecayInGradient, tf.keras.optimizers.SGD):
    pass


def build_optimizer(
    settings: Optimizer, schedule: WarmUpThenDecay, network: tf.keras.Model
) -> tf.keras.optimizers.Optimizer:
    """Returns an optimizer that has its slots for a network."""
    if settings.name == "adamw":
        # None and not 0, which would still cost a pass over the weights.
        decay = settings.weight_decay or None
        optimizer = _AdamW(schedule, weight_decay=decay, epsilon=_EPSILON)
    elif settings.name == "adam":
        optimizer = _Adam(schedule, epsilon=_EPSILON)
        optimizer.decay = settings.weight_decay
    else:
        optimizer = _SGD(schedule, momentum=0.9)
        optimizer.decay = settings.weight_decay
    if settings.decays != "all":
        optimizer.exclude_from_weight_decay(
            var_list=_without_decay(network, settings.decays == "convolutions")
        )
    optimizer.build(network.trainable_variables)
    return optimizer


def _without_decay(network: tf.keras.Model, convolutions_alone: bool) -> list[tf.Variable]:
    """The variables beside the kernels, or beside those of convolutions and their biases."""
    if not convolutions_alone:
        # Kernels of convolutions and of dense layers have at least two axes; no other has.
        return [x for x in network.trainable_variables if x.shape.rank < 2]
    biases = set()
    for layer in network.submodules:
        names = ["threshold", "bias_before", "bias_after"]
        if isinstance(layer, LearnableBias):
            names.append("bias")
        found = [getattr(layer, name, None) for name in names]
        biases |= {value.ref() for value in found if isinstance(value, tf.Variable)}
    return [
        x for x in network.trainable_variables if x.shape.rank != 4 and x.ref() not in biases
    ]
