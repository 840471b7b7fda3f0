"""Layers of the user's own, and parts of models in HDF5 files."""

import sys

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from tf_keras.src.applications import convnext  # which the public one hides layers of

from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import ConversionError, load_model
from larq_bcd.convert.load.code import refuse_code
from larq_bcd.convert.load.imported import register_contents
from larq_bcd.layers import LearnableBias, QuantConv2D

layers = tf.keras.layers
SCRIPT = """
import shutil
from os import remove

import tensorflow as tf


class Doubler(tf.keras.layers.Layer):
    def __init__(self, factor=2.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def shifted(x):
    return tf.nn.relu(x) + 1


def quarter(shape, dtype=None):
    return tf.fill(shape, 0.25)


def clean(folder):
    shutil.rmtree(folder)
"""


@pytest.fixture
def custom_objects():
    """Those of Keras, which are afterwards what they were."""
    objects = tf.keras.utils.get_custom_objects()
    known = dict(objects)
    yield objects
    objects.clear()
    objects.update(known)


@pytest.fixture
def script(tmp_path, monkeypatch, custom_objects):
    """A module of the user's, which registers nothing, imported to build a model only."""
    (tmp_path / "users_script.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    import users_script

    yield users_script
    sys.modules.pop("users_script")


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_what_an_imported_module_defines_is_found(script, tmp_path, name, capsys):
    own = layers.Conv2D(
        4, 3, activation=script.shifted, kernel_initializer=script.quarter, name="own"
    )
    model = tf.keras.Sequential([layers.Input((8, 8, 3)), script.Doubler(3.0), own])
    path, output = tmp_path / name, tmp_path / "out.tflite"
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    arguments = [str(path), "-o", str(output)]
    assert lce_convert(arguments) == 2
    error = capsys.readouterr().err
    assert "--import" in error
    assert "'Doubler'" in error or "'shifted'" in error
    assert lce_convert([*arguments, "--import", "users_script"]) == 0
    assert output.exists()


def test_what_a_module_has_imported_itself_is_not(script, tmp_path):
    register_contents(script)
    assert {"Doubler", "shifted", "clean"} <= set(tf.keras.utils.get_custom_objects())
    assert "remove" not in tf.keras.utils.get_custom_objects()
    # A function may be handed tensors, and not be called with what a file says.
    config = {"class_name": "clean", "config": {"folder": "/"}}
    with pytest.raises(ConversionError, match="'clean'"):
        refuse_code(tmp_path / "model.h5", {"class_name": "Dense", "config": {"x": config}})


def test_layers_inside_of_a_model_in_an_hdf5_file_are_this_packages(tmp_path):
    network = tf.keras.Sequential(
        [
            layers.Input((4, 4, 3)),
            LearnableBias(),
            QuantConv2D(2, 3, input_quantizer="approx_sign", kernel_quantizer="scaled_sign"),
        ]
    )
    model = tf.keras.Sequential([tf.keras.Model(network.inputs, network.outputs)])
    model.save(tmp_path / "model.h5")
    loaded = load_model(tmp_path / "model.h5").model
    image = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype("f")
    np.testing.assert_array_equal(loaded(image), model(image))
    types = [type(layer) for layer in loaded.layers[0].layers]
    assert types[1:] == [LearnableBias, QuantConv2D]


def test_functions_inside_of_a_layer_in_an_hdf5_file_are_found(tmp_path):
    def quarter_of_registered(shape, dtype=None):
        return tf.fill(shape, 0.25)

    @lq.utils.set_precision(1)
    def sign_of_registered(x):
        return lq.math.sign(x)

    scope = {f.__name__: f for f in (quarter_of_registered, sign_of_registered)}
    conv = lq.layers.QuantConv2D(
        2, 1, kernel_quantizer=sign_of_registered, kernel_initializer=quarter_of_registered
    )
    tf.keras.Sequential([layers.Input((4, 4, 3)), conv]).save(tmp_path / "model.h5")
    with pytest.raises(ConversionError, match=r"function '\w+_of_registered'.*--import with"):
        load_model(tmp_path / "model.h5")
    with tf.keras.utils.custom_object_scope(scope):
        loaded = load_model(tmp_path / "model.h5").model
    assert loaded.layers[0].kernel_quantizer is sign_of_registered


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_function_of_larq_zoo_is_known_to_be_that(tmp_path, suffix, monkeypatch):
    # As where Larq Zoo has not been imported.
    known = tf.keras.utils.get_custom_objects()
    monkeypatch.delitem(known, "blurpool_initializer", raising=False)

    def blurpool_initializer(shape, dtype=None):
        return tf.fill(shape, 0.25)

    pool = layers.DepthwiseConv2D(3, depthwise_initializer=blurpool_initializer, name="pool")
    path = tmp_path / f"model.{suffix}"
    tf.keras.Sequential([layers.Input((8, 8, 3)), pool]).save(path)
    with pytest.raises(
        ConversionError,
        match=r"'blurpool_initializer' of the layer 'pool'.*: give --import larq_zoo ",
    ):
        load_model(path)


def test_a_layer_that_does_not_take_what_its_file_says_is_named(tmp_path):
    class Stubborn(layers.Layer):
        def get_config(self):
            return {**super().get_config(), "factor": 2}

    path = tmp_path / "model.keras"
    tf.keras.Sequential([layers.Input((4,)), Stubborn()]).save(path)
    with (
        tf.keras.utils.custom_object_scope({"Stubborn": Stubborn}),
        pytest.raises(ConversionError, match=r"'Stubborn' .*factor.*get_config") as raised,
    ):
        load_model(path)
    assert "damaged" not in str(raised.value)


@pytest.mark.usefixtures("custom_objects")
@pytest.mark.parametrize(
    ("suffix", "named"), [(".keras", convnext.__name__), (".h5", "with the module")]
)
def test_a_layer_that_keras_keeps_beside_a_network_is_found_in_its_module(
    tmp_path, suffix, named
):
    model = convnext.ConvNeXt(
        (1, 1, 1, 1), (4, 4, 4, 4), input_shape=(32, 32, 3), weights=None, classes=2
    )
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(ConversionError, match=f"'LayerScale' of the layer .*--import {named}"):
        load_model(path)
    register_contents(convnext)
    loaded = load_model(path).model
    image = np.ones((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(loaded(image), model(image))
