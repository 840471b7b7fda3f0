import csv
import json

import larq as lq
import numpy as np
import PIL.Image
import pytest
import reference
import tensorflow as tf
from helpers import randomize

from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.errors import UserError
from larq_bcd.explain import binarization_errors
from larq_bcd.layers import DynamicThresholdQuantConv2D, QuantConv2D, QuantShiftMLP
from larq_bcd.models import get_model, list_models, model_info

QUICK = ("BCDNetB", "BinaryCCT7")
BINARY = {"input_quantizer": "approx_sign", "kernel_quantizer": "scaled_sign"}


def network(*layers, size=6):
    image = x = tf.keras.Input((size, size, 3))
    for layer in layers:
        x = layer(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(2)(x))


def images(rng, count, size=6):
    return rng.normal(size=(count, size, size, 3)).astype(np.float32)


def lost(real, binary):
    """The distance of the real values from the closest multiple of the binary ones."""
    factor = (real * binary).sum() / (binary**2).sum()
    return np.linalg.norm(real - factor * binary) / np.linalg.norm(real)


def test_errors_equal_their_equation(rng):
    """All kinds of products, in NumPy, over more images than one batch has."""
    first = QuantConv2D(8, 3, 2, "symmetric", pad_values=1.0, name="first", **BINARY)
    second = DynamicThresholdQuantConv2D(8, 1, name="second")
    mlp = QuantShiftMLP(8, name="mlp")
    model = network(first, second, mlp)
    randomize(model, rng)
    x = images(rng, 11)
    seen = tf.keras.Model(model.inputs, [second.input, mlp.input]).predict(x, verbose=0)
    of_second, of_mlp = (values.astype(np.float64) for values in seen)
    alpha = second.contextual_embedding(seen[0])[0].numpy()
    moved = of_second + second.threshold.numpy() - alpha
    kernels = [
        np.float64(layer.kernel)
        for layer in (first, second, mlp.pointwise, mlp.short_range, mlp.long_range)
    ]
    inputs = [
        np.float64(x),
        moved,
        of_mlp,
        reference.shift(of_mlp, 1),
        reference.shift(of_mlp, 1),
    ]  # of a map of 3x3, half is 1 too
    expected = []
    for values, kernel in zip(inputs, kernels, strict=True):
        where = (2, (1, 1), 1.0) if kernel is kernels[0] else ()
        expected.append(
            lost(
                reference.conv2d(values, kernel, *where),
                reference.conv2d(reference.sign(values), reference.scaled_sign(kernel), *where),
            )
        )
    found = binarization_errors(model, x)
    assert [(one.layer, one.kind) for one in found] == [
        ("first", "3x3 convolution"),
        ("second", "1x1 convolution"),
        ("mlp/pointwise", "pointwise"),
        ("mlp/short_range", "short range"),
        ("mlp/long_range", "long range"),
    ]
    np.testing.assert_allclose([one.error for one in found], expected, rtol=1e-4)
    assert all(0.2 < error < 1 for error in expected)


def test_a_product_of_signs_and_of_nearly_signs_loses_nearly_nothing(rng):
    layer = QuantConv2D(4, 1, **BINARY)
    model = network(layer)
    signs = rng.choice([-1.0, 1.0], (1, 1, 3, 4))
    layer.kernel.assign(signs * (1 + 1e-3 * rng.normal(size=signs.shape)))
    [found] = binarization_errors(model, np.sign(images(rng, 2)))
    assert 0 < found.error < 2e-3


def test_layers_of_larq_and_mixed_precision_are_measured(rng):
    layer = lq.layers.QuantConv2D(
        4, 3, padding="same", input_quantizer="ste_sign", kernel_quantizer="ste_sign"
    )
    model = network(layer)
    ours = network(
        QuantConv2D(
            4, 3, padding="same", dtype="mixed_bfloat16", input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
        )
    )  # fmt: skip
    randomize(model, rng)
    ours.set_weights(model.get_weights())
    x = images(rng, 2)
    [one], [other] = binarization_errors(model, x), binarization_errors(ours, x)
    np.testing.assert_allclose(one.error, other.error, rtol=0.05)


def test_a_network_with_nothing_binary_is_refused(rng):
    real = get_model("BCDNetA", **model_info("BCDNetA").reduced, kernel_quantizer=None)
    with pytest.raises(
        UserError, match=r"'bcdnet_a' has no convolution or shift MLP of binary"
    ):
        binarization_errors(real, images(rng, 1, 16))


def test_kernels_that_are_signs_already_are_refused(rng):
    layer = QuantConv2D(4, 1, **BINARY)
    model = network(layer)
    layer.kernel.assign(rng.choice([-0.5, 0.5], (1, 1, 3, 4)))
    with pytest.raises(UserError, match=r"are signs already, .*runs/NAME/model\.keras"):
        binarization_errors(model, images(rng, 1))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in list_models()
        if model_info(name).is_binary
    ],
)
def test_every_binary_product_of_a_network_has_an_error(name, rng):
    model = get_model(name, **model_info(name).reduced)
    found = binarization_errors(model, rng.normal(size=(1, *model.input_shape[1:])))
    kernels = [w for w in model.weights if w.shape.rank == 4 and "stem" not in w.name]
    real = {"ReActNetB": 5, "ReActNetC": 5, "BinaryCCT7": 1, "DyBinaryCCT7": 1}
    real |= {"BinaryCCT14": 1, "DyBinaryCCT14": 1}
    shortcuts = sum("shortcut" in w.name for w in kernels)
    assert len(found) == len(kernels) - shortcuts - real.get(name, 0)
    assert all(0 <= one.error <= 1 for one in found)


def test_the_command_draws_errors_and_writes_their_numbers(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    a = network(QuantConv2D(4, 1, name="first"), QuantShiftMLP(4, name="mlp"))
    b = tf.keras.models.clone_model(a)
    a.save("a.keras")
    b.save("b.keras")
    (tmp_path / "photos").mkdir()
    pixels = rng.integers(0, 256, (2, 6, 6, 3), np.uint8)
    for i, photo in enumerate(pixels):
        PIL.Image.fromarray(photo).save(f"photos/{i}.png")
    command = ["explain", "a.keras", "photos", "--compare", "b.keras", "--mean", "0.5"]
    command += ["--std", "0.5", "-o", "errors.png", "--force", "--binarization-error"]
    assert main([*command, "--numbers", "errors.csv"]) == 0
    assert main([*command, "--numbers", "errors.json"]) == 0
    out = capsys.readouterr().out
    with PIL.Image.open("errors.png") as picture:
        assert picture.width > 500
    rows = list(csv.DictReader((tmp_path / "errors.csv").read_text().splitlines()))
    plain = json.loads((tmp_path / "errors.json").read_text())
    expected = binarization_errors(a, (pixels / 255 - 0.5).astype(np.float32) / 0.5)
    for name in ("a", "b"):
        of_name = [row for row in rows if row["network"] == name]
        assert [row["layer"] for row in of_name] == [one.layer for one in expected]
        assert [float(row["error"]) for row in of_name] == [
            one["error"] for one in plain[name]["errors"]
        ]
    found = [one["error"] for one in plain["a"]["errors"]]
    np.testing.assert_allclose(found, [one.error for one in expected], rtol=1e-4)
    assert f"a: long range: mean error {found[2]:.4f}" in out
    assert plain["a"]["mean"]["long range"] == found[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["photo.png", "--numbers", "n.csv"], "--numbers goes with --binarization-error only"),
        (["folder", "--binarization-error"], "folder has no images: name a folder"),
        (["photo.png", "--binarization-error"], "'model' has no convolution or shift MLP"),
        (["photo.png", "--binarization-error", "--numbers", "n.txt"], "needs another suffix"),
    ],
)
def test_the_command_refuses_in_one_line(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    network(tf.keras.layers.Conv2D(4, 1)).save("model.keras")
    (tmp_path / "folder").mkdir()
    PIL.Image.new("RGB", (6, 6)).save("photo.png")
    image, *others = options
    command = ["explain", "model.keras", image, "--mean", "0.5", "--std", "0.5", "-o", "e.png"]
    assert main([*command, *others]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
