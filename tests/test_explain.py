import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers import randomize

from larq_bcd import explain
from larq_bcd.cli import main
from larq_bcd.errors import UserError
from larq_bcd.layers import DynamicThreshold, DynamicThresholdQuantConv2D, QuantConv2D


def network(*layers, size=9, classes=3):
    image = x = tf.keras.Input((size, size, 3))
    for layer in layers:
        x = layer(x)
    x = tf.keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(classes, name="fc")(x))


def images(rng, count=2, size=9):
    return rng.normal(size=(count, size, size, 3)).astype(np.float32)


def test_receptive_field_of_two_convolutions_is_the_square_they_reach(rng):
    model = network(
        QuantConv2D(4, 3, padding="symmetric", name="first"),
        QuantConv2D(4, 3, padding="symmetric", input_quantizer="approx_sign", name="second"),
    )
    for layer, reach in (("first", 1), ("second", 2)):
        field = explain.effective_receptive_field(model, 0.1 * images(rng, 8), layer)
        assert field.max() == 1
        inside = np.zeros((9, 9), bool)
        inside[4 - reach : 5 + reach, 4 - reach : 5 + reach] = True
        assert (field[inside] > 0).all()
        assert (field[~inside] == 0).all()


def test_grad_cam_equals_its_equations(rng):
    model = network(tf.keras.layers.Conv2D(4, 1, activation="relu", name="conv"))
    [image] = images(rng, 1)
    kernel = model.get_layer("fc").kernel
    kernel.assign(tf.abs(kernel))
    features = model.get_layer("conv")(image[None])[0].numpy()
    # Behind global average pooling and a linear layer, the gradients are the weights / 81.
    evidence = np.maximum(features @ kernel.numpy()[:, 2], 0)
    result = explain.grad_cam(model, image, label=2)
    np.testing.assert_allclose(result, evidence / evidence.max(), rtol=1e-4, atol=1e-5)


def test_grad_cam_is_of_the_chosen_class_and_of_the_size_of_the_image(rng):
    model = network(tf.keras.layers.Conv2D(4, 3, 2, activation="relu", name="conv"))
    [image] = images(rng, 1)
    chosen = int(model(image[None]).numpy().argmax())
    result = explain.grad_cam(model, image)
    assert result.shape == (9, 9)
    np.testing.assert_array_equal(result, explain.grad_cam(model, image, label=chosen))


def test_thresholds_are_where_the_signs_change(rng):
    embedded = DynamicThresholdQuantConv2D(4, 1, reduction=1, name="contextual")
    model = network(DynamicThreshold(name="dysign"), embedded)
    randomize(model, rng)
    batch = images(rng)
    dysign, contextual = explain.chosen_thresholds(model, batch)
    assert (dysign.layer, contextual.layer) == ("dysign", "contextual")
    shifted = model.get_layer("dysign")(batch).numpy()
    below = batch < dysign.chosen[:, None, None]
    np.testing.assert_array_equal(below, shifted < 0)
    alpha, _ = embedded.contextual_embedding(shifted)
    np.testing.assert_allclose(
        contextual.chosen, (alpha - embedded.threshold)[:, 0, 0], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(contextual.static, -embedded.threshold.numpy())
    assert (dysign.chosen[0] != dysign.chosen[1]).any()


def test_a_network_of_static_thresholds_chooses_none(rng):
    assert explain.chosen_thresholds(network(QuantConv2D(4, 1)), images(rng)) == []


def test_another_layer_is_answered_with_those_there_are():
    with pytest.raises(UserError, match=r"'stem' is no layer .* such as .*conv"):
        explain.feature_layer(network(QuantConv2D(4, 1, name="conv")), "stem")


def test_the_command_draws_two_networks(rng, tmp_path, capsys):
    for name, layer in {"static": QuantConv2D(4, 3), "dynamic": DynamicThreshold()}.items():
        network(layer).save(tmp_path / f"{name}.keras")
    PIL.Image.effect_noise((20, 12), 60).convert("RGB").save(tmp_path / "photo.png")
    files = [str(tmp_path / name) for name in ("static.keras", "photo.png", "seen.png")]
    command = ["explain", *files[:2], "-o", files[2]]
    assert main([*command, "--compare", str(tmp_path / "dynamic.keras")]) == 0
    with PIL.Image.open(files[2]) as both:
        both_size = both.size
    assert main(command) == 0
    with PIL.Image.open(files[2]) as alone:
        assert alone.width == both_size[0]
        assert alone.height < both_size[1]
    assert "wrote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "none/seen.png"}, "there is no folder"),
        ({"image": "none.png"}, "none.png cannot be read"),
        ({"model": "BCDNetC"}, "BCDNetC does not exist"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, capsys, change, message):
    network(QuantConv2D(4, 1)).save(tmp_path / "model.keras")
    given = {"model": "model.keras", "image": "photo.png", "output": "seen.png", **change}
    paths = {key: str(tmp_path / name) for key, name in given.items()}
    paths["model"] = given["model"] if "model" in change else paths["model"]
    assert main(["explain", paths["model"], paths["image"], "-o", paths["output"]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
