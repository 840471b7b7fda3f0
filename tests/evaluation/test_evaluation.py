import errno
import json
import textwrap
from pathlib import Path

import images
import larq_compute_engine as lce
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import larq_bcd
from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.convert import FileOptions, convert
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.evaluation import classifiers
from larq_bcd.evaluation.accuracy import evaluate
from larq_bcd.models import describe

# A model that says nothing of itself, and what it has to be told.
KNOWN = ("{keras}", "--dataset", "{data}", "--mean", "0.5", "--std", "0.5")
NAMES = ("ant", "bee", "cat", "dog", "emu", "fox", "gnu")


def counted(logits, labels, names=NAMES, batch=4):
    """The evaluation of given logits: the images are their numbers."""
    numbers = np.arange(len(labels))
    batches = [
        (numbers[start : start + batch], labels[start : start + batch])
        for start in range(0, len(labels), batch)
    ]
    return evaluate(lambda images: logits[images], batches, names)


def test_accuracies_are_those_of_sorted_logits(rng):
    # Few different values, so that many are equal.
    logits = rng.integers(0, 4, (50, 7)).astype(np.float32)
    labels = rng.integers(0, 6, 50)
    found = counted(logits, labels)
    # Stable: of equal logits the first comes first.
    order = np.argsort(-logits, axis=1, kind="stable")
    assert found.top1 == np.mean(order[:, 0] == labels)
    assert found.top5 == np.mean((order[:, :5] == labels[:, None]).any(axis=1))
    for label in range(6):
        own = order[labels == label, 0]
        assert found.per_class[label] == np.mean(own == label)
        for other in range(7):
            assert found.confusion[label, other] == np.sum(own == other)
    assert np.isnan(found.per_class[6])
    assert json.loads(json.dumps(found.as_json()))["per_class"][6]["accuracy"] is None


def test_five_classes_have_no_top_5(rng):
    found = counted(rng.normal(size=(9, 5)), rng.integers(0, 5, 9), NAMES[:5])
    assert found.top5 is None


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((4, 6)), r"shape \(4, 6\) for 4 images, but the data have 7 classes"),
        (np.full((4, 7), np.nan), r"not numbers \(NaN\)"),
        (np.zeros((0, 7)), r"no images"),
    ],
)
def test_what_cannot_be_evaluated_is_explained(logits, message):
    with pytest.raises(UserError, match=message):
        counted(logits, np.zeros(len(logits), int))


def color_model(classes=6, size=8):
    """Tells the six colors of `color_folder` apart, by the mean of each channel."""
    image = tf.keras.Input((size, size, 3))
    x = larq_bcd.layers.QuantConv2D(
        12, 1, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
    )(image)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(image, tf.keras.layers.Dense(classes)(x))
    kernel, dense, bias = model.get_weights()
    signs = np.array([[(n >> bit & 1) * 2 - 1 for n in range(12)] for bit in range(3)])
    model.set_weights([signs.reshape(kernel.shape), np.zeros_like(dense), np.zeros_like(bias)])
    # The class of a color n is the filter that has its signs.
    rows = np.zeros_like(dense)
    for n in range(min(classes, 6)):
        rows[n, n] = 1
    model.set_weights([signs.reshape(kernel.shape), rows, bias])
    return model


@pytest.fixture(scope="module")
def color_folder(tmp_path_factory):
    """Six classes of pure colors, the last of which has one image of the first's color."""
    folder = tmp_path_factory.mktemp("colors")
    for n in range(6):
        place = folder / "test" / f"color{n}"
        place.mkdir(parents=True)
        for i in range(4):
            color = 0 if (n, i) == (5, 0) else n
            pixel = [255 * (color >> bit & 1) for bit in range(3)]
            picture = Image.fromarray(np.full((8, 8, 3), pixel, np.uint8))
            picture.save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = color_model()
    model.save(folder / "colors.keras")
    content = lce.convert_keras_model(model)
    (folder / "colors.tflite").write_bytes(content)
    return folder


def run(*arguments, capsys=None):
    status = main(["evaluate", *map(str, arguments)])
    return status, capsys.readouterr() if capsys else None


@pytest.mark.parametrize("runtime", [True, False], ids=["larq_bcd_runtime", "LCE"])
@pytest.mark.parametrize("form", ["keras", "tflite"])
def test_the_command_evaluates_models_and_files_alike(
    form, runtime, files, color_folder, tmp_path, capsys, monkeypatch
):
    if not runtime:
        monkeypatch.setitem(__import__("sys").modules, "larq_bcd_runtime", None)
    results, picture = tmp_path / "results.json", tmp_path / "confusion.png"
    options = ("--mean", 0.5, "--std", 0.5, "--json", results, "--confusion", picture)
    status, printed = run(
        files / f"colors.{form}", "--dataset", color_folder, *options, capsys=capsys
    )
    assert status == 0, printed.err
    found = json.loads(results.read_text())
    assert found["images"] == 24
    assert found["top1"] == 23 / 24
    assert found["top5"] >= 23 / 24
    assert found["confusion"] == [*np.diag([4] * 5 + [3]).tolist()[:5], [1, 0, 0, 0, 0, 3]]
    assert found["per_class"][5] == {"class": "color5", "images": 4, "accuracy": 0.75}
    assert "95.83%" in printed.out
    assert "color0 (1)" in printed.out
    assert Image.open(picture).width > 200
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "confusion.png"}


def test_the_recipe_of_a_training_says_what_is_evaluated_and_how(
    files, color_folder, tmp_path, capsys
):
    recipe = tmp_path / "recipe.yaml"
    text = f"""
        network: BCDNetA
        data: {{name: {color_folder}, train: test, validation: "test[50%:]"}}
        preprocessing: {{image_size: [8, 8], mean: [0.5, 0.5, 0.5], std: [1, 1, 1], resize: 8}}
        stages: [{{name: one, binary: all, epochs: 1, schedule: {{peak: 0.1}}}}]
        """
    recipe.write_text(textwrap.dedent(text))
    status, printed = run(files / "colors.tflite", "--recipe", recipe, capsys=capsys)
    assert status == 0, printed.err
    assert "split test[50%:]" in printed.out
    status, printed = run(
        files / "colors.keras", "--recipe", recipe, "--split", "test", capsys=capsys
    )
    assert "95.83%" in printed.out


@pytest.fixture(scope="module")
def described(files):
    """The model of `files` that knows its preprocessing, and files of it for each input."""
    images = Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3, resize=8)
    names = [f"color{n}" for n in range(6)]
    model = describe(color_model(), images, names)
    model.save(files / "described.keras")
    for kind in ("float32", "uint8", "int8"):
        result = convert(model, options=FileOptions(input_type=kind))
        (files / f"described_{kind}.tflite").write_bytes(result.content)
    return files


@pytest.mark.parametrize(
    "file", ["keras", *(f"{k}.tflite" for k in ("float32", "uint8", "int8"))]
)
def test_what_a_model_says_of_itself_is_done_once(
    file, described, color_folder, tmp_path, capsys
):
    """Normalized twice, no color but black is found."""
    model = described / f"described{'.' if file == 'keras' else '_'}{file}"
    status, printed = run(model, "--dataset", color_folder, capsys=capsys)
    assert status == 0, printed.err
    assert "95.83%" in printed.out
    where = "saved in the model" if file == "keras" else "the file's metadata"
    first, second = printed.out.splitlines()[:2]
    assert first.startswith("preprocessing: 8x8 RGB, the center of an image whose shorter")
    assert first.endswith(f"({where})")
    assert second == f"classes: 6, color0, color1, color2, ... ({where})"
    # The recipe of the training says the same, and no more than that about the input.
    recipe = tmp_path / "recipe.yaml"
    text = f"""
        network: BCDNetA
        data: {{name: {color_folder}, train: test, validation: test}}
        preprocessing: {{image_size: [8, 8], mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25],
            resize: 8}}
        stages: [{{name: one, binary: all, epochs: 1, schedule: {{peak: 0.1}}}}]
        """
    recipe.write_text(textwrap.dedent(text))
    status, printed = run(model, "--recipe", recipe, capsys=capsys)
    assert "95.83%" in printed.out
    assert printed.out.splitlines()[0].endswith("(of the recipe)")


def test_another_recipe_and_other_classes_are_said_to_be_so(described, tmp_path, capsys):
    images.write_folder(tmp_path / "data", {"test": {f"c{n}": 1 for n in range(6)}})
    recipe = tmp_path / "recipe.yaml"
    text = f"""
        network: BCDNetA
        data: {{name: {tmp_path / "data"}, train: test, validation: test}}
        preprocessing: {{image_size: [8, 8], resize: 8}}
        stages: [{{name: one, binary: all, epochs: 1, schedule: {{peak: 0.1}}}}]
        """
    recipe.write_text(textwrap.dedent(text))
    status, printed = run(described / "described.keras", "--recipe", recipe, capsys=capsys)
    assert status == 0, printed.err
    assert "of the recipe; saved in the model is another: 8x8 RGB" in printed.out
    assert "the data call theirs otherwise, c0, c1, c2, ...; they are" in printed.out


def test_a_file_that_normalizes_itself_takes_no_mean(described, color_folder, capsys):
    options = ("--dataset", color_folder, "--mean", 0.5)
    status, printed = run(described / "described_uint8.tflite", *options, capsys=capsys)
    assert status == 2
    assert "takes pixels as uint8 and normalizes them itself" in printed.err


def quantized(model, rng):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [rng.normal(size=(1, 8, 8, 3)).astype(np.float32)] for _ in range(20)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def test_a_file_of_integers_takes_and_gives_real_values(rng, tmp_path):
    image = tf.keras.Input((8, 8, 3))
    x = tf.keras.layers.Conv2D(4, 3, activation="relu")(image)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(image, tf.keras.layers.Dense(3)(x))
    path = tmp_path / "integers.tflite"
    path.write_bytes(quantized(model, rng))
    pictures = rng.normal(size=(16, 8, 8, 3)).astype(np.float32)
    expected = model(pictures).numpy()
    found = classifiers.FileClassifier(path, threads=1)(pictures)
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
    assert np.abs(found).max() < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{keras}",), "give either --dataset or --recipe"),
        (("nowhere.keras", "--dataset", "{data}"), "nowhere.keras does not exist"),
        ((*KNOWN, "--split", "tset"), "did you mean 'test'?"),
        (("{keras}", "--dataset", "{data}", "--batch-size", "0"), "--batch-size: 0 is below 1"),
        (("{keras}", "--dataset", "{data}", "--threads", "99"), "--threads: 99 is above 64"),
        (("{keras}", "--dataset", "{data}"), "is not known: give the recipe of its training"),
        ((*KNOWN, "--resize", "4"), "--resize=4 is not supported"),
        ((*KNOWN, "--mean", "0,1"), "--mean has 2 values, but the model's input has 3"),
        (
            ("{keras}", "--dataset", "{data}", "--json", "no/a.json"),
            "the folder no does not exist",
        ),
        (("{keras}", "--dataset", "{data}", "--confusion", "a.xyz"), "another suffix"),
        (("{other}", *KNOWN[1:]), "the data have 6 classes"),
        (("{damaged}", "--dataset", "{data}"), "damaged or not a .tflite file"),
        (("{cut}", "--dataset", "{data}"), "damaged or not a .tflite file"),
    ],
)
def test_what_is_wrong_is_one_sentence(options, message, files, color_folder, tmp_path, capsys):
    places = {
        "keras": files / "colors.keras",
        "data": color_folder,
        "other": tmp_path / "other.keras",
        "damaged": tmp_path / "damaged.tflite",
        "cut": tmp_path / "cut.tflite",
    }
    if options[0] == "{other}":
        color_model(classes=4).save(places["other"])
    places["damaged"].write_bytes(b"x" * 100)
    places["cut"].write_bytes((files / "colors.tflite").read_bytes()[:600])
    status, printed = run(*(option.format(**places) for option in options), capsys=capsys)
    assert status == 2
    assert message in printed.err.splitlines()[-1]


def test_a_file_that_cannot_be_read_is_one_sentence(files, color_folder, capsys, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    status, printed = run(files / "colors.tflite", "--dataset", color_folder, capsys=capsys)
    assert status == 2
    assert "colors.tflite cannot be read (Input/output error)" in printed.err


@pytest.mark.parametrize(
    ("folder", "split", "is_told"), [("validation", "validation", False), ("", "train", True)]
)
def test_a_folder_without_test_is_evaluated_on_what_it_has(
    folder, split, is_told, files, tmp_path, capsys
):
    images.write_folder(tmp_path, {folder: {f"c{n}": 1 for n in range(6)}})
    status, printed = run(
        files / "colors.keras", "--dataset", tmp_path, *KNOWN[3:], capsys=capsys
    )
    assert status == 0, printed.err
    assert f"split {split}" in printed.out
    told = "neither test nor validation images: all of train are evaluated"
    assert (told in printed.out) == is_told
