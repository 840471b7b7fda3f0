"""Optimizers as the papers' code has them, which is PyTorch's."""

import tensorflow as tf

from larq_bcd.training.recipe import Optimizer
from larq_bcd.training.schedules import WarmUpThenDecay

# PyTorch's default.
_EPSILON = 1e-8


class _DecayInGradient(tf.keras.optimizers.Optimizer):
    """Adds `decay * weight` to the gradient, as PyTorch's Adam and SGD do.

    The `weight_decay` of Keras' optimizers shrinks the weights apart from the gradient.
    """

    decay = 0.0

    def update_step(self, gradient, variable):
        """Updates a variable."""
        if self.decay and self._use_weight_decay(variable):
            gradient = gradient + self.decay * variable
        super().update_step(gradient, variable)


class _Adam(_DecayInGradient, tf.keras.optimizers.Adam):
    pass


class _SGD(_DecayInGradient, tf.keras.optimizers.SGD):
    pass


def build_optimizer(
    settings: Optimizer, schedule: WarmUpThenDecay, variables: list[tf.Variable]
) -> tf.keras.optimizers.Optimizer:
    """Returns an optimizer that has its slots for the given variables.

    Args:
        settings: that of a recipe.
        schedule: of its learning rate.
        variables: what it will update.
    """
    if settings.name == "adamw":
        optimizer = tf.keras.optimizers.AdamW(
            schedule, weight_decay=settings.weight_decay, epsilon=_EPSILON
        )
    elif settings.name == "adam":
        optimizer = _Adam(schedule, epsilon=_EPSILON)
        optimizer.decay = settings.weight_decay
    else:
        optimizer = _SGD(schedule, momentum=0.9)
        optimizer.decay = settings.weight_decay
    if settings.decays == "kernels":
        # Kernels of convolutions and of dense layers have at least two axes; no other has.
        others = [variable for variable in variables if variable.shape.rank < 2]
        optimizer.exclude_from_weight_decay(var_list=others)
    optimizer.build(variables)
    return optimizer
