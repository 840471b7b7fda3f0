import numpy as np
import pytest
import tensorflow as tf
from conversion_models import randomize, two_heads

from larq_bcd.convert import merge_heads

layers = tf.keras.layers


def _model(build):
    x = tf.keras.Input((6,))
    return randomize(tf.keras.Model(x, build(x)))


@pytest.mark.parametrize("biases", [(True, True), (True, False, True), (False, False)])
def test_the_merged_head_is_the_mean_of_any_number_of_heads(biases):
    model = _model(
        lambda x: layers.Average(name="logits")(
            [layers.Dense(4, use_bias=bias, name=f"h{i}")(x) for i, bias in enumerate(biases)]
        )
    )
    merged, what = merge_heads(model)
    assert what.heads == tuple(f"h{i}" for i in range(len(biases)))
    assert [type(layer) for layer in merged.layers] == [layers.InputLayer, layers.Dense]
    assert merged.output_names == ["logits"]
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("f")
    np.testing.assert_allclose(merged(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: layers.Average()([layers.Dense(4, "relu")(x), layers.Dense(4)(x)]),
        lambda x: layers.Average()([layers.Dense(4)(x), layers.Dense(4)(layers.ReLU()(x))]),
        lambda x: layers.Add()([layers.Dense(4)(x), layers.Dense(4)(x)]),
        lambda x: layers.Average()([layers.Dense(6)(x), x]),
        lambda x: layers.Softmax()(two_heads(x)),
        lambda x: layers.Dense(4)(x),
        lambda x: [layers.Dense(4)(x), layers.Dense(4)(x)],
    ],
    ids=["relu", "other input", "sum", "no dense", "not last", "one head", "two outputs"],
)
def test_other_models_are_handed_back_as_they_are(build):
    model = _model(build)
    assert merge_heads(model) == (model, None)


def test_the_model_is_not_changed():
    model = _model(two_heads)
    before = [value.copy() for value in model.get_weights()]
    merge_heads(model)
    np.testing.assert_equal(model.get_weights(), before)
