import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import randomize

from larq_bcd.convert.load import load_model
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.layers import QuantConv2D
from larq_bcd.models import describe, description_of, list_models, model_info

IMAGES = Preprocessing((8, 8), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), resize=10)
NAMES = ("ant", "bée")
SAVED = Description(IMAGES, NAMES, "saved in the model", "saved in the model")


def network():
    image = tf.keras.Input((8, 8, 3), name="image")
    # An argument that larq's layer of the same name does not have.
    x = QuantConv2D(4, 3, padding="symmetric", kernel_quantizer="ste_sign", name="conv")(image)
    x = tf.keras.layers.BatchNormalization(name="norm")(x)
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(2, name="fc")(x), name="net")


@pytest.fixture(scope="module")
def plain():
    model = network()
    randomize(model, np.random.default_rng(0))
    return model


@pytest.fixture(scope="module")
def described(plain):
    return describe(plain, IMAGES, NAMES)


def images():
    return np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32)


def save(model, path):
    model.save(path, save_format="tf" if path.suffix == "" else None)
    return path


def test_a_model_that_says_nothing_is_not_known(plain):
    assert description_of(plain) == Description()


def test_it_computes_the_same_and_leaves_the_other_as_it_was(plain, described):
    np.testing.assert_array_equal(described(images()), plain(images()))
    assert (described.name, described.output_names) == (plain.name, plain.output_names)
    assert description_of(described) == SAVED


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "saved"])
def test_every_format_keeps_it_also_when_it_is_saved_again(name, plain, described, tmp_path):
    model = load_model(save(described, tmp_path / name)).model
    model.compile("sgd", "mse")
    model.fit(images(), np.zeros((2, 2)), verbose=0)
    again = tf.keras.models.load_model(save(model, tmp_path / f"again_{name}"))
    for one in (model, again):
        assert description_of(one) == SAVED
    np.testing.assert_allclose(again(images()), model(images()), rtol=1e-6)


def test_a_copy_of_the_one_file_is_enough_in_a_fresh_process(described, tmp_path):
    copy = shutil.copy(save(described, tmp_path / "model.keras"), tmp_path / "copy.keras")
    script = (
        "import sys, larq_bcd, tensorflow as tf; "
        "model = tf.keras.models.load_model(sys.argv[1]); "
        "print(larq_bcd.models.description_of(model).class_names)"
    )
    command = [sys.executable, "-c", script, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == str(NAMES), done.stderr


def test_a_clone_keeps_it_and_another_classifier_has_none(described):
    assert description_of(tf.keras.models.clone_model(described)) == SAVED
    features = described.get_layer("pool").output
    other = tf.keras.Model(described.inputs, tf.keras.layers.Dense(2)(features))
    assert description_of(other) == Description()


def test_its_file_is_a_file_of_weights_for_the_plain_network(described, tmp_path):
    path = save(described, tmp_path / "model.keras")
    other = network()
    other.load_weights(path)
    np.testing.assert_array_equal(other(images()), described(images()))


def test_a_sequential_model_can_be_described():
    layers = [tf.keras.layers.Flatten(input_shape=(8, 8, 3)), tf.keras.layers.Dense(2)]
    model = tf.keras.Sequential(layers)
    found = describe(model, IMAGES)
    assert description_of(found).preprocessing == IMAGES
    np.testing.assert_array_equal(found(images()), model(images()))


@pytest.mark.parametrize("scale", [1 / 255, 1 / 127.5])
def test_a_model_that_rescales_takes_pixels(scale):
    image = tf.keras.Input((8, 8, 3))
    model = tf.keras.Model(image, tf.keras.layers.Rescaling(scale)(image))
    found = description_of(model).preprocessing
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    np.testing.assert_allclose(found.encoded(pixels), pixels, rtol=1e-6)


@pytest.mark.parametrize(
    ("preprocessing", "names", "message"),
    [
        (dataclasses.replace(IMAGES, image_size=(9, 8)), None, r"of shape \(9, 8, 3\), but"),
        (Preprocessing((8, 8), (0.5,), (0.5,), None), None, r"takes \(8, 8, 3\)"),
        (IMAGES, "abc", "has 3 names, but 'net' has 2 outputs"),
    ],
)
def test_what_does_not_fit_is_refused(preprocessing, names, message, plain):
    with pytest.raises(UserError, match=message):
        describe(plain, preprocessing, names)


def test_a_damaged_description_is_explained(described):
    model = tf.keras.models.clone_model(described)
    for text in ("", "[]", "{}", '{"preprocessing": {"mean": 3}}'):
        model.description = text
        with pytest.raises(UserError, match="cannot be understood"):
            description_of(model)


@pytest.mark.parametrize("name", list_models())
def test_a_network_of_the_registry_knows_its_own_preprocessing(name):
    info = model_info(name)
    assert info.preprocessing.input_shape == info.input_shape
