import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import ConversionError, FileOptions, convert, lce
from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.models.described import describe
from larq_bcd.tflite.engines import REFERENCE, TFLITE, open_engine
from larq_bcd.tflite.graph import Graph

layers = tf.keras.layers
IMAGES = Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3, resize=None)


class Constant(layers.Layer):
    def call(self, x):
        return tf.constant([[1.0, 2.0]])


def _dense(name, units):
    return layers.Dense(units, name=name)


def _pair():
    return tf.keras.Input((3,), name="left"), tf.keras.Input((2,), name="right")


def _siamese():
    """Two images through the same binary layers, in a dictionary."""
    shared = tf.keras.Sequential(
        [layers.Input((8, 8, 3)), layers.Conv2D(8, 3), binary_conv(8), layers.Flatten()]
    )
    pair = {key: tf.keras.Input((8, 8, 3), name=key * 3) for key in ("r", "l")}
    return tf.keras.Model(pair, {"far": shared(pair["l"]) - shared(pair["r"])})


def _image_and_vector():
    image, vector = tf.keras.Input((8, 8, 3), name="image"), tf.keras.Input((5,), name="also")
    x = layers.GlobalAveragePooling2D()(binary_conv(8)(layers.Conv2D(8, 3)(image)))
    return tf.keras.Model([image, vector], _dense("out", 2)(layers.Concatenate()([x, vector])))


def _unsorted():
    left, right = _pair()
    outputs = [_dense("b", 3)(left), _dense("a", 2)(left), _dense("c", 3)(right)]
    return tf.keras.Model([right, left], outputs)


def _dictionary():
    left, right = _pair()
    return tf.keras.Model(
        {"y": left, "x": right}, {"2nd": _dense("a", 2)(left), "1st": _dense("b", 3)(right)}
    )


def _given_back():
    left, right = _pair()
    return tf.keras.Model([left, right], [right, _dense("a", 2)(left)])


def _twice():
    left, _ = _pair()
    x = _dense("a", 2)(left)
    return tf.keras.Model(left, [x, _dense("b", 3)(left), x])


def _constant():
    left, _ = _pair()
    return tf.keras.Model(left, [_dense("a", 2)(left), Constant(name="c")(left)])


def _constant_alone():
    left, _ = _pair()
    return tf.keras.Model(left, Constant(name="c")(left))


def _unused():
    left, right = _pair()
    return tf.keras.Model([right, left], _dense("a", 2)(left))


MODELS = {
    "siamese": (_siamese, ["l", "r"], ["far"]),
    "image and vector": (_image_and_vector, ["image", "also"], ["out"]),
    "unsorted": (_unsorted, ["right", "left"], ["b", "a", "c"]),
    "dictionaries": (_dictionary, ["x", "y"], ["1st", "2nd"]),
    "an input given back": (_given_back, ["left", "right"], ["right", "a"]),
    "an output twice": (_twice, ["left"], ["a", "b", "a_1"]),
    "a constant": (_constant, ["left"], ["a", "c"]),
    "only a constant": (_constant_alone, ["left"], ["c"]),
    "an unused input": (_unused, ["right", "left"], ["a"]),
}


def _runs_by_signature(content, inputs):
    interpreter = tf.lite.Interpreter(model_content=content)
    return interpreter.get_signature_runner()(**inputs)


@pytest.mark.parametrize("case", MODELS)
def test_a_file_takes_and_gives_what_its_model_does_in_the_same_order(case):
    build, inputs, outputs = MODELS[case]
    model = randomize(build())
    result = convert(model)
    result.require_binary()
    result.require_equal()
    file = Graph(result.content)
    assert (file.input_names, file.output_names) == (inputs, outputs)
    assert [one.name for one in result.report.inputs] == inputs
    assert [one.name for one in result.report.outputs] == outputs
    rng = np.random.default_rng(0)
    given = [rng.normal(size=x.shape).astype(np.float32) for x in file.inputs]
    expected = tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, given)))
    is_binary = any(node.type.startswith("Lce") for node in file.nodes)
    for prefer in [REFERENCE] if is_binary else [REFERENCE, (TFLITE,)]:
        found = open_engine(result.content, 1, prefer).predict(*given)
        for ours, theirs in zip(expected, found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_signature_has_the_names_of_the_model():
    model = randomize(_dictionary())
    values = {"x": np.ones((1, 2), np.float32), "y": np.ones((1, 3), np.float32)}
    found = _runs_by_signature(convert(model).content, values)
    expected = model(values)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["unsorted", "dictionaries", "an output twice"])
def test_the_order_is_the_model_s_if_only_its_graph_can_be_converted(case, monkeypatch):
    build, inputs, outputs = MODELS[case]
    monkeypatch.setattr(lce, "_ROUTES", lce._ROUTES[-1:])
    model = randomize(build())
    content, _ = lce.convert_model(model)
    file = Graph(content)
    assert (file.input_names, file.output_names) == (inputs, outputs)
    assert [x.shape[1:] for x in file.outputs] == [tuple(x.shape[1:]) for x in model.outputs]
    assert [x.shape[1:] for x in file.inputs] == [tuple(x.shape[1:]) for x in model.inputs]


def test_inputs_of_the_check_are_given_by_order_or_by_name():
    model = randomize(_unsorted())
    right, left = np.ones((3, 2), np.float32), np.zeros((3, 3), np.float32)
    for inputs in ([right, left], {"left": left, "right": right}):
        check = convert(model, inputs).report.check
        assert (check.inputs, check.faults) == (3, [])
    with pytest.raises(ConversionError, match="1 arrays, but the model has 2 inputs"):
        convert(model, right)
    with pytest.raises(ConversionError, match="no array 'right'"):
        convert(model, {"left": left})


def test_values_that_the_model_cannot_take_are_told_from_a_fault_of_the_file():
    words = tf.keras.Input((4,), dtype="int32", name="words")
    model = tf.keras.Model(words, layers.Flatten()(layers.Embedding(5, 2)(words)))
    convert(model).require_equal()
    with pytest.raises(ConversionError, match=r"sample 2 of the check .*check-inputs"):
        convert(model, np.array([[0, 1, 2, 3], [4, 5, 6, 7]]))


def test_bytes_go_into_every_image_and_nowhere_else():
    options = FileOptions(input_type="uint8", description=Description(IMAGES))
    result = convert(randomize(_image_and_vector()), options=options)
    result.require_equal()
    assert [x.dtype for x in result.report.inputs] == ["uint8", "float32"]
    result = convert(randomize(_siamese()), options=options)
    result.require_equal()
    assert [x.dtype for x in result.report.inputs] == ["uint8", "uint8"]


def test_a_described_model_keeps_the_names_of_its_outputs():
    image = tf.keras.Input((8, 8, 3), name="image")
    model = tf.keras.Model(image, {"logits": _dense("fc", 3)(layers.Flatten()(image))})
    file = Graph(convert(describe(model, IMAGES)).content)
    assert file.output_names == ["logits"]


def test_merged_heads_keep_the_name_of_their_output():
    image = tf.keras.Input((3,), name="image")
    mean = layers.Average()([_dense("fc", 2)(image), _dense("fc_dist", 2)(image)])
    result = convert(randomize(tf.keras.Model(image, {"logits": mean})))
    result.require_equal()
    assert "merged" in result.report.changes[0]
    assert Graph(result.content).output_names == ["logits"]
