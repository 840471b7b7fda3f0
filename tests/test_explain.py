import matplotlib.text
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from helpers import randomize

from larq_bcd import explain
from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.explain import figure
from larq_bcd.layers import DynamicThreshold, DynamicThresholdQuantConv2D, QuantConv2D
from larq_bcd.models import describe

_POSITIONAL = ("model", "image")


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
    kernel.assign([[1, 1, 1], [1, 1, -1], [1, 1, 1], [1, 1, -1]])
    features = model.get_layer("conv")(image[None])[0].numpy()
    # Behind global average pooling and a linear layer, the gradients are the weights / 81.
    signed = features @ kernel.numpy()[:, 2]
    assert signed.min() < 0 < signed.max()
    evidence = np.maximum(signed, 0)
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
    with pytest.raises(UserError, match=r"'stem' is not a layer .* such as .*conv"):
        explain.feature_layer(network(QuantConv2D(4, 1, name="conv")), "stem")


@pytest.fixture
def picture(rng):
    return PIL.Image.fromarray(rng.integers(0, 256, (12, 20, 3), np.uint8))


def test_the_command_draws_two_networks_of_different_sizes(
    picture, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    picture.save("photo.png")
    for name, model in {
        "static": network(QuantConv2D(4, 3), size=11),
        "dynamic": network(DynamicThreshold()),
    }.items():
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.keras")
    options = ["--mean", "0.5", "--std", "0.25", "-o", "seen.png"]
    command = ["explain", "static/model.keras", "photo.png", *options]
    assert main([*command, "--compare", "dynamic/model.keras"]) == 0
    with PIL.Image.open("seen.png") as both:
        both_size = both.size
    assert main([*command, "--force"]) == 0
    with PIL.Image.open("seen.png") as alone:
        assert alone.width == both_size[0]
        assert alone.height < both_size[1]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("wrote")] == ["wrote seen.png"] * 2
    assert lines[0].startswith("static/model: preprocessing: 11x11 RGB, the whole image")
    assert lines[0].endswith("(--mean and --std)")


def texts(drawn):
    return [text.get_text() for text in drawn.findobj(matplotlib.text.Text)]


def test_the_picture_names_networks_classes_and_what_it_shows(rng):
    static, dynamic = network(QuantConv2D(4, 3)), network(DynamicThreshold())
    for model in (static, dynamic):
        randomize(model, rng)
    [image] = images(rng, 1)
    seen = {
        name: figure.Seen(model, image, np.clip(image, 0, 1))
        for name, model in {"static": static, "dynamic": dynamic}.items()
    }
    found = texts(figure.draw(seen, labels=["rose", "iris", "daisy"]))
    for name, one in seen.items():
        chances = tf.nn.softmax(one.model(image[None])[0]).numpy()
        label = ["rose", "iris", "daisy"][chances.argmax()]
        assert f"{name}\n{label}, {chances.max():.0%}" in found
    assert "the same for every image" in found
    assert {"effective receptive field", "Grad-CAM", "chosen for this image"} <= set(found)


def test_the_command_shows_the_image_and_the_classes_as_the_model_says(
    picture, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture.save("photo.png", exif=exif)
    images = Preprocessing((9, 9), (0.5,) * 3, (0.2, 0.25, 0.5), resize=10)
    describe(network(QuantConv2D(4, 3)), images, ["ant", "bee", "cat"]).save("model.keras")
    drawn = []
    plain = figure.draw
    monkeypatch.setattr(figure, "draw", lambda *given: drawn.append(given) or plain(*given))
    assert main(["explain", "model.keras", "photo.png", "-o", "seen.png"]) == 0
    assert f"model: preprocessing: {images} (saved in the model)" in capsys.readouterr().out
    (seen, _, labels) = drawn[0]
    assert labels is None
    assert seen["model"].class_names == ("ant", "bee", "cat")
    upright = picture.transpose(PIL.Image.Transpose.ROTATE_270).resize((10, 16), 2)
    expected = np.asarray(upright.crop((0, 4, 9, 13)))
    np.testing.assert_allclose(seen["model"].pixels, expected / 255, atol=1e-6)
    np.testing.assert_allclose(
        seen["model"].image, (expected / 255 - 0.5) / [0.2, 0.25, 0.5], atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "none/seen.png"}, "does not exist: create it first"),
        ({"output": "seen.jpg"}, "seen.jpg needs another suffix: name it seen.png"),
        ({"output": "folder.png"}, "folder.png is a folder"),
        ({"labels": "labels.txt"}, "labels.txt has 2 names, but MODEL 'model' has 3 classes"),
        ({"model": "dense.keras"}, r"takes inputs of shape (4,), not images"),
        ({"model": "features.keras"}, "is not a classifier: its outputs have the shapes"),
        ({"model": "flat.keras"}, "has no layer with an image as its output"),
        ({"compare": "model.keras"}, "both networks are called"),
        ({"image": "none.png"}, "none.png cannot be read"),
        ({"mean": None}, "is not known: give --mean and --std"),
        ({"model": "BCDNetC"}, "BCDNetC does not exist"),
    ],
)
def test_the_command_refuses_in_one_line(
    picture, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    dense, image = tf.keras.Input(4), tf.keras.Input((9, 9, 3))
    flat = tf.keras.layers.Dense(3)(tf.keras.layers.Flatten()(image))
    for name, model in {
        "model": network(QuantConv2D(4, 1)),
        "dense": tf.keras.Model(dense, tf.keras.layers.Dense(3)(dense)),
        "features": tf.keras.Model(image, QuantConv2D(4, 1)(image)),
        "flat": tf.keras.Model(image, flat),
    }.items():
        model._name = name
        model.save(f"{name}.keras")
    picture.save("photo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "labels.txt").write_text("rose\niris\n")
    given = {"model": "model.keras", "image": "photo.png", "output": "seen.png"}
    given |= {"mean": "0.5", "std": "0.25"} if "mean" not in change else {}
    given = {key: value for key, value in {**given, **change}.items() if value is not None}
    options = [f"--{key}={value}" for key, value in given.items() if key not in _POSITIONAL]
    assert main(["explain", given["model"], given["image"], *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
