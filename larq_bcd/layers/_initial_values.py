"""Initial values of PyTorch's convolutions and linear layers: \\(U(-1, 1) / \\sqrt{n}\\).

\\(n\\) is the number of inputs that an output sums up, for the bias too. It is what
`torch.nn.Conv2d` and `torch.nn.Linear` do unless told otherwise, `kaiming_uniform_` with
`a=sqrt(5)`, and what the official networks leave as it is in all that is real-valued.
"""

import tensorflow as tf


def of_kernel() -> tf.keras.initializers.Initializer:
    """Returns the initializer of a kernel, whose shape says what it sums up."""
    return tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def of_bias(inputs: int) -> tf.keras.initializers.Initializer:
    """Returns the initializer of a bias beside a kernel that sums up so many inputs."""
    limit = inputs**-0.5
    return tf.keras.initializers.RandomUniform(-limit, limit)
