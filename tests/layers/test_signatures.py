"""What an editor shows of a layer."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from larq_bcd import activations, layers

CLASSES = [getattr(module, name) for module in (layers, activations) for name in module.__all__]
REQUIRED = {"filters": 4, "kernel_size": 3, "groups": 2, "heads": 2}


def arguments(layer_class):
    return inspect.signature(layer_class).parameters


def required(layer_class):
    return {
        name: REQUIRED[name]
        for name, argument in arguments(layer_class).items()
        if argument.default is argument.empty and argument.kind != argument.VAR_KEYWORD
    }


@pytest.mark.parametrize("layer_class", CLASSES)
def test_every_argument_is_in_the_signature(layer_class):
    """All but those that every layer of Keras has, such as the name."""
    layer = layer_class(**required(layer_class))
    own = set(layer.get_config()) - set(tf.keras.layers.Layer().get_config())
    assert own <= set(arguments(layer_class))
    kinds = {argument.kind for argument in arguments(layer_class).values()}
    assert inspect.Parameter.VAR_POSITIONAL not in kinds


@pytest.mark.parametrize(
    ("layer_class", "name", "value"),
    [
        (layers.DySign, "reduction", 2),
        (layers.DynamicThreshold, "reduction", 2),
        (layers.DynamicThresholdQuantConv2D, "reduction", 2),
        (activations.DynamicRPReLU, "reduction", 2),
        (layers.GroupAverage, "groups", 2),
        (layers.QuantAttention, "heads", 2),
        (layers.QuantShiftMLP, "short_range", 1),
        (layers.SpatialShift, "shift", 1),
    ],
)
def test_an_integer_of_numpy_is_an_integer(layer_class, name, value):
    layer = layer_class(**{**required(layer_class), name: np.int64(value)})
    assert type(layer.get_config()[name]) is int
    for other in (0, True, 1.5, "2"):
        with pytest.raises(ValueError, match=f"={other!r} is not supported: pass a positive"):
            layer_class(**{**required(layer_class), name: other})


@pytest.mark.parametrize("layer_class", [layers.MaxPooling2D, layers.QuantConv2D])
def test_nchw_is_refused(layer_class):
    with pytest.raises(ValueError, match=r"data_format='channels_first'.*Permute"):
        layer_class(**required(layer_class), data_format="channels_first")
