import math

import numpy as np
import pytest
import tensorflow as tf

from larq_bcd import activations, layers
from larq_bcd.training.optimizers import build_optimizer
from larq_bcd.training.recipe import Optimizer
from larq_bcd.training.schedules import WarmUpThenDecay


def test_warm_up_is_linear_and_the_cosine_ends_at_zero():
    schedule = WarmUpThenDecay(4e-3, 300_000, start=1e-3, warm_up=15_000)
    rates = [float(schedule(step)) for step in (0, 7_500, 15_000, 157_500, 300_000, 400_000)]
    np.testing.assert_allclose(rates, [1e-3, 2.5e-3, 4e-3, 2e-3, 0, 0], atol=1e-9)


def test_courses_without_warm_up_start_at_the_peak():
    for decay, middle in (("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)):
        schedule = WarmUpThenDecay(1.0, 100, decay=decay)
        assert float(schedule(0)) == 1.0
        assert math.isclose(float(schedule(50)), middle, abs_tol=1e-6)
    quarter = float(WarmUpThenDecay(1.0, 100, decay="cosine")(25))
    assert math.isclose(quarter, (1 + math.cos(math.pi / 4)) / 2, rel_tol=1e-6)


def test_a_schedule_survives_serialization():
    schedule = WarmUpThenDecay(0.5, 10, start=0.1, warm_up=3, end=0.01, decay="linear")
    content = tf.keras.optimizers.schedules.serialize(schedule)
    again = tf.keras.optimizers.schedules.deserialize(content)
    for step in range(12):
        assert float(again(step)) == float(schedule(step))
    with pytest.raises(ValueError, match="decay='step' is not supported"):
        WarmUpThenDecay(1.0, 10, decay="step")


def pytorch_steps(name, weight, gradients, rate, decay):
    """The updates of PyTorch's documentation, in float64."""
    weight, first, second = weight.astype(np.float64), 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        if name == "adamw":
            weight = weight * (1 - rate * decay)
        else:
            gradient = gradient + decay * weight
        if name == "sgd":
            first = 0.9 * first + gradient
            weight = weight - rate * first
            continue
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        weight = weight - rate * first / (1 - 0.9**step) / corrected
    return weight


def parts_of_a_network():
    """A network's parameters by what they are."""
    inputs = tf.keras.Input((4, 4, 2))
    x = layers.LearnableBias(name="threshold")(inputs)
    x = layers.QuantConv2D(3, 3, padding="same", use_bias=False, name="convolution")(x)
    x = tf.keras.layers.BatchNormalization(name="norm")(x)
    x = activations.RPReLU(name="rprelu")(x)
    x = layers.DynamicThresholdQuantConv2D(3, 1, reduction=1, name="contextual")(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="classifier")(x))


CONVOLUTIONS = {
    "threshold/bias",
    "convolution/kernel",
    "rprelu/bias_before",
    "rprelu/bias_after",
    "contextual/threshold",
    "contextual/kernel",
}
OTHER_KERNELS = {
    "classifier/kernel",
    "contextual/context_kernel",
    "contextual/alpha_kernel",
    "contextual/beta_kernel",
}


@pytest.mark.parametrize("decays", ["all", "kernels", "convolutions"])
@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_updates_are_those_of_pytorch(rng, name, decays):
    network = parts_of_a_network()
    variables = {x.name.removesuffix(":0"): x for x in network.trainable_variables}
    kernels = {"convolution/kernel", "contextual/kernel"} | OTHER_KERNELS
    decaying = {"all": set(variables), "kernels": kernels, "convolutions": CONVOLUTIONS}
    values = {key: rng.normal(size=variable.shape) for key, variable in variables.items()}
    for key, variable in variables.items():
        variable.assign(values[key])
    settings = Optimizer(name=name, weight_decay=0.3, decays=decays)
    schedule = WarmUpThenDecay(0.05, 10, decay="constant")
    optimizer = build_optimizer(settings, schedule, network)
    gradients = {
        key: [rng.normal(size=value.shape) for _ in range(5)] for key, value in values.items()
    }
    for step in range(5):
        optimizer.apply_gradients(
            (tf.constant(gradients[key][step], tf.float32), variable)
            for key, variable in variables.items()
        )
    assert decaying[decays] <= set(variables)
    for key, variable in variables.items():
        decay = 0.3 if key in decaying[decays] else 0.0
        expected = pytorch_steps(name, values[key], gradients[key], 0.05, decay)
        np.testing.assert_allclose(
            variable.numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=key
        )
