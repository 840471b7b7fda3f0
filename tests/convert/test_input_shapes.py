import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import ConversionError, convert, with_input_shapes
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers


def open_model(*shape, name="image"):
    image = tf.keras.Input(shape, name=name)
    x = layers.GlobalAveragePooling2D()(binary_conv(4)(layers.Conv2D(4, 3)(image)))
    return randomize(tf.keras.Model(image, layers.Dense(2)(x)))


@pytest.mark.parametrize("shape", [(None, None, 3), (None, 8, 3), (8, None, 3)])
def test_a_shape_that_is_given_is_the_file_s(shape):
    model = open_model(*shape)
    result = convert(with_input_shapes(model, {"image": (1, 8, 8, 3)}))
    result.require_binary()
    result.require_equal()
    (image,) = Graph(result.content).inputs
    assert image.shape == (1, 8, 8, 3)
    assert tuple(model.inputs[0].shape) == (None, *shape)


def test_a_model_of_that_shape_is_left_as_it_is():
    model = open_model(8, 8, 3)
    assert with_input_shapes(model, {"image": (1, 8, 8, 3)}) is model
    assert with_input_shapes(model, {}) is model


def test_names_are_those_of_a_dictionary():
    pair = {"a": tf.keras.Input((None, 3), name="x"), "b": tf.keras.Input((2, 3), name="y")}
    model = tf.keras.Model(pair, tf.reduce_sum(pair["a"], 1) + pair["b"][:, 0])
    fixed = with_input_shapes(model, {"a": (1, 4, 3)})
    assert [tuple(x.shape) for x in fixed.inputs] == [(None, 4, 3), (None, 2, 3)]
    values = {"a": np.ones((1, 4, 3)), "b": np.ones((1, 2, 3))}
    np.testing.assert_array_equal(fixed(values), model(values))


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"images": (1, 8, 8, 3)}, "no input 'images', did you mean 'image'"),
        ({"image": (4, 8, 8, 3)}, "batch of 4 is not supported.*give 1.*any number of samples"),
        ({"image": (1, 8, 8, 1)}, r"has the shape \(None, None, None, 3\): give sizes where"),
        ({"image": (8, 8, 3)}, "batch of 8"),
        ({"image": (1, 8, 3)}, "give sizes where that has None"),
        ({"image": (1, 0, 8, 3)}, "give sizes where that has None"),
        (
            {"image": (1, 2, 2, 3)},
            "image=1,2,2,3: the model cannot be built with",
        ),
    ],
)
def test_a_shape_that_is_not_one_of_the_input_is_refused(shapes, words):
    with pytest.raises(ConversionError, match=words):
        with_input_shapes(open_model(None, None, 3), shapes)


@pytest.mark.parametrize("shape", [(None, 4, 3), (4, None, 3), (4, 4, None)])
def test_an_open_shape_is_asked_for(shape):
    image = tf.keras.Input(shape, name="image")
    fixed = ",".join(str(size or 224) for size in shape)
    with pytest.raises(ConversionError, match=f"open shape.*--input-shape image=1,{fixed} "):
        convert(tf.keras.Model(image, layers.ReLU()(image)))


def test_a_shape_that_holds_nothing_is_refused():
    nothing, some = tf.keras.Input((0, 8, 3), name="none"), tf.keras.Input((8,), name="some")
    for model in (tf.keras.Model(nothing, nothing * 2), tf.keras.Model(some, some[:, :0])):
        with pytest.raises(ConversionError, match="holds nothing"):
            convert(model)


def test_a_batch_that_is_changed_is_said():
    image = tf.keras.Input((4, 4, 3), batch_size=4)
    result = convert(tf.keras.Model(image, layers.Flatten()(image)))
    result.require_equal()
    assert "a batch of 4, and the file one of 1" in result.report.changes[0]


def test_a_model_of_its_own_batch_alone_is_refused():
    image = tf.keras.Input((4, 4, 3), batch_size=4)
    model = tf.keras.Model(image, layers.Dense(2)(tf.reshape(image, (4, 48))))
    with pytest.raises(ConversionError, match=r"a batch of 4 alone.*batch_size=1"):
        convert(model)


def test_reduced_precision_is_said():
    image = tf.keras.Input((4, 4, 3), dtype="float16")
    result = convert(tf.keras.Model(image, layers.Conv2D(2, 1, dtype="float16")(image)))
    result.require_equal()
    assert "computes in float16, and the file in float32" in result.report.changes[0]
    assert result.report.inputs[0].dtype == "float32"
