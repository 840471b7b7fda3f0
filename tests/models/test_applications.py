import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import (
    decode_predictions,
    describe,
    get_model,
    model_info,
    preprocess_input,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def described():
    image = tf.keras.Input((4, 6, 1))
    model = tf.keras.Model(image, tf.keras.layers.Dense(3)(tf.keras.layers.Flatten()(image)))
    return describe(model, Preprocessing((4, 6), (0.5,), (0.25,)), ["cat", "dog", "emu"])


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_pixels_are_normalized(kind, rng):
    pixels = rng.integers(0, 256, (2, 8, 8, 3)).astype(kind)
    found = preprocess_input(pixels, "BCDNetB")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (pixels / 255.0 - MEAN) / STD, atol=1e-5)


def test_a_model_that_says_so_itself(described, rng):
    pixels = rng.integers(0, 256, (4, 6, 1))
    found = preprocess_input(pixels, described)
    np.testing.assert_allclose(found, (pixels / 255.0 - 0.5) / 0.25, atol=1e-5)
    logits = np.log([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4]]) + 300
    (first, second) = decode_predictions(logits, described, top=2)
    assert [name for name, _ in first] == ["dog", "cat"]
    np.testing.assert_allclose([share for _, share in first], [0.7, 0.2])
    assert [name for name, _ in second] == ["cat", "emu"]


def test_imagenets_classes():
    logits = np.zeros((1, 1000), np.float32)
    logits[0, [281, 207]] = 20, 10
    ((best, likely), (other, unlikely)) = decode_predictions(logits, "ReActNetA", top=2)[0]
    assert (best, other) == ("tabby", "golden retriever")
    assert likely > 0.99
    assert unlikely < 1e-4


def test_the_networks_of_cifar10_do_not_name_the_classes_of_imagenet():
    with pytest.raises(UserError, match="the names of its classes are not known"):
        decode_predictions(np.zeros((1, 10)), "DyBinaryCCT7")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 224, 224)), r"\(height, width, 3\)"),
        (np.zeros((5, 3)), r"\(height, width, 3\)"),
        (np.full((2, 2, 3), 0.5), "not normalized yet"),
        (np.full((2, 2, 3), -1.0), "not normalized yet"),
        (np.full((2, 2, 3), 256.0), "not normalized yet"),
        (np.full((2, 2, 3), np.nan), "images of nan to nan"),
    ],
)
def test_images_that_are_none_are_refused(images, message):
    with pytest.raises(UserError, match=message):
        preprocess_input(images, "BCDNetB")


@pytest.mark.parametrize("pixels", [np.zeros((2, 2, 3)), np.ones((2, 2, 3), np.uint8)])
def test_black_images_are_pixels(pixels):
    assert preprocess_input(pixels, "BCDNetB").max() < 0


@pytest.mark.parametrize("batched", [False, True])
def test_a_pipeline_normalizes_the_same(batched, rng):
    pixels = rng.integers(0, 256, (4, 6, 8, 3)).astype(np.uint8)
    images = tf.data.Dataset.from_tensor_slices(pixels).batch(2)
    images = images if batched else images.unbatch()
    found = list(images.map(lambda x: preprocess_input(x, "BCDNetB")).as_numpy_iterator())
    found = np.concatenate(found) if batched else np.stack(found)
    np.testing.assert_allclose(found, preprocess_input(pixels, "BCDNetB"), atol=1e-6)


@pytest.mark.parametrize("shape", [None, (None, None, None)])
def test_a_pipeline_of_images_of_unknown_shape_is_told_what_to_do(shape):
    normalized = tf.function(
        lambda x: preprocess_input(x, "BCDNetB"),
        autograph=False,
        input_signature=[tf.TensorSpec(shape, tf.uint8)],
    )
    with pytest.raises(UserError, match="decode them with channels=3 and expand_animations"):
        normalized.get_concrete_function()


def test_what_is_not_known_is_said():
    image = tf.keras.Input((4, 4, 3))
    unknown = tf.keras.Model(image, tf.keras.layers.Flatten()(image), name="mine")
    with pytest.raises(UserError, match="mine: how its images are prepared is not known"):
        preprocess_input(np.zeros((4, 4, 3)), unknown)
    with pytest.raises(UserError, match="mine: the names of its classes are not known"):
        decode_predictions(np.zeros((1, 48)), unknown)
    with pytest.raises(UserError, match="'BCDNetB:cifar' is not the name of a trained network"):
        preprocess_input(np.zeros((4, 4, 3)), "BCDNetB:cifar")
    with pytest.raises(UserError, match="BCDNetB"):
        preprocess_input(np.zeros((4, 4, 3)), "BCDNetC")


@pytest.mark.parametrize("model", [None, b"BCDNetB", 3])
def test_what_is_neither_a_model_nor_a_name_is_refused(model):
    with pytest.raises(UserError, match="is not supported: pass a model, or the name"):
        preprocess_input(np.zeros((4, 4, 3)), model)


def test_probabilities_are_not_taken_for_logits(described):
    shares = np.array([[0.2, 0.7, 0.1], [0.0, 0.0, 1.0]])
    found = decode_predictions(shares, described)
    assert found[0] == [("dog", 0.7), ("cat", 0.2), ("emu", 0.1)]
    assert found[1][0] == ("emu", 1.0)


def test_predictions_that_are_not_finite_are_refused(described):
    with pytest.raises(UserError, match="predictions are not finite"):
        decode_predictions([[0.0, np.nan, 1.0]], described)


@pytest.mark.parametrize("top", [0, 2.0, True, "3"])
def test_a_top_that_is_no_count_is_refused(described, top):
    with pytest.raises(UserError, match=r"top=.* is not supported: pass a positive integer"):
        decode_predictions(np.zeros((1, 3)), described, top=top)


@pytest.mark.parametrize("shape", [(1000,), (1, 10)])
def test_predictions_of_another_shape_are_refused(shape):
    with pytest.raises(UserError, match=r"pass \(batch, 1000\)"):
        decode_predictions(np.zeros(shape), "BCDNetB")


@pytest.mark.parametrize("name", ["BCDNetB", "DyBinaryCCT7", "ResNet18"])
def test_features_are_pooled(name, rng):
    arguments = {**model_info(name).reduced, "include_top": False}
    image = rng.normal(size=(2, *arguments["input_shape"])).astype(np.float32)
    networks = {
        kind: get_model(name, **arguments, pooling=kind) for kind in (None, "avg", "max")
    }
    for network in networks.values():
        network.set_weights(networks[None].get_weights())
    features = networks[None](image).numpy()
    positions = tuple(range(1, features.ndim - 1))
    np.testing.assert_allclose(networks["avg"](image), features.mean(positions), rtol=1e-5)
    np.testing.assert_array_equal(networks["max"](image), features.max(positions))


def test_other_pooling_is_refused():
    with pytest.raises(UserError, match="pooling='mean' is not supported: pass 'avg', 'max'"):
        get_model("ReActNetA", include_top=False, pooling="mean")


def test_channels_first_is_told():
    with pytest.raises(UserError, match=r"channels first: pass \(224, 224, 3\)"):
        get_model("BCDNetA", input_shape=(3, 224, 224))
