"""What is done to an image, from training to the device: once, and the same everywhere."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from larq_bcd.commands.main import larq_bcd, lce_convert
from larq_bcd.data import images as reader
from larq_bcd.data.preprocessing import Preprocessing
from PIL import Image

from larq_bcd_runtime import Interpreter, cli, images
from larq_bcd_runtime.interpreter import TensorDetail

SIZE, RESIZE = (28, 36), 40
MEAN, STD = (0.6, 0.35, 0.45), (0.3, 0.15, 0.22)
CLASSES = ("bird", "cät", "dog")
RECIPE = """
network: BCDNetB
arguments:
  {{width: 0.0625, strides: [2, 2, 1, 1, 1, 1], blocks: [1, 1, 1, 1, 1], mlp_blocks: 1}}
data: {{name: {data}, train: train, validation: test}}
preprocessing:
  image_size: [28, 36]
  mean: [0.6, 0.35, 0.45]
  std: [0.3, 0.15, 0.22]
  resize: 40
  resampling: bicubic
batch_size: 9
stages:
  - {{name: one, binary: all, iterations: 100, schedule: {{peak: 0.01}}}}
"""


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def write_photographs(folder, rng, color) -> None:
    """One file of everything that a camera or a program may have made, around a color."""

    def photograph(size):
        small = rng.integers(-70, 70, (5, 7, 3)) + color
        picture = Image.fromarray(small.clip(0, 255).astype(np.uint8))
        return picture.resize(size, Image.Resampling.BICUBIC)

    folder.mkdir(parents=True)
    for orientation in (3, 6, 7):
        picture = photograph((97, 61))
        picture.save(folder / f"turned{orientation}.jpg", exif=exif(orientation), quality=95)
    photograph((61, 90)).save(folder / "turned.webp", exif=exif(8), quality=90)
    photograph((80, 50)).save(folder / "turned.png", exif=exif(6))
    photograph((70, 64)).convert("L").save(folder / "gray.jpg")
    wide = np.asarray(photograph((90, 70)).convert("L")).astype(np.uint16) * 257
    Image.fromarray(wide).save(folder / "sixteen.png")
    Image.fromarray(wide).save(folder / "sixteen.tif")
    photograph((50, 83)).convert("CMYK").save(folder / "print.jpg", quality=95)
    photograph((77, 66)).quantize(32).save(folder / "palette.png")
    photograph((77, 66)).quantize(32).save(folder / "palette.gif")
    picture = photograph((40, 44))
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(folder / "transparent.png")
    photograph((36, 28)).save(folder / "small.webp", lossless=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a training of a few steps, alone in a folder, and what it was trained on."""
    folder = tmp_path_factory.mktemp("preprocessing")
    rng = np.random.default_rng(0)
    colors = rng.integers(60, 200, (len(CLASSES), 3))
    for split in ("train", "test"):
        for name, color in zip(CLASSES, colors):
            write_photographs(folder / "data" / split / name, rng, color)
    (folder / "recipe.yaml").write_text(RECIPE.format(data=folder / "data"))
    command = [sys.executable, "-m", "larq_bcd.commands", "train", str(folder / "recipe.yaml")]
    done = subprocess.run(
        [*command, "--output", str(folder / "run")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (folder / "elsewhere").mkdir()
    shutil.copy(folder / "run" / "model.keras", folder / "elsewhere" / "copy.keras")
    return folder


@pytest.fixture(scope="module")
def files(trained):
    """The copy, and what lce_convert makes of it with no word on images or classes."""
    place = trained / "elsewhere"
    found = {"keras": place / "copy.keras"}
    for kind in ("float32", "uint8"):
        found[kind] = place / f"{kind}.tflite"
        given = [str(found["keras"]), "-o", str(found[kind]), "--input-type", kind]
        assert lce_convert(given) == 0
    return found


def photographs(trained) -> list:
    return [
        (path, label)
        for label, name in enumerate(CLASSES)
        for path in sorted((trained / "data" / "test" / name).iterdir())
    ]


def pixels_by_hand(path) -> np.ndarray:
    """What the recipe says, in the words of Pillow."""
    with Image.open(path) as image:
        turned = {
            1: None,
            3: Image.Transpose.ROTATE_180,
            6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }[image.getexif().get(0x0112, 1)]
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
        image = image.convert("RGB")
    if turned is not None:
        image = image.transpose(turned)
    width, height = (side * RESIZE // min(image.size) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIZE[1]) / 2), round((height - SIZE[0]) / 2)
    return np.asarray(image.crop((left, top, left + SIZE[1], top + SIZE[0])))


@pytest.fixture(scope="module")
def expected(trained, files):
    """The probabilities that Keras gives, of pixels that were read by hand."""
    model = tf.keras.models.load_model(files["keras"], compile=False)
    pixels = np.stack([pixels_by_hand(path) for path, _ in photographs(trained)])
    return tf.nn.softmax(model((pixels / 255 - MEAN) / STD)).numpy()


def test_the_photographs_are_worth_the_test(trained, expected):
    labels = np.array([label for _, label in photographs(trained)])
    assert np.mean(expected.argmax(1) == labels) > 0.5
    assert len(set(expected.argmax(1))) == len(CLASSES)


@pytest.mark.parametrize("kind", ["keras", "float32", "uint8"])
def test_evaluate_finds_what_keras_finds(kind, trained, files, expected, tmp_path, capsys):
    results = tmp_path / "results.json"
    data = ["--dataset", str(trained / "data"), "--json", str(results)]
    assert larq_bcd(["evaluate", str(files[kind]), *data]) == 0
    printed = capsys.readouterr().out
    where = "saved in the model" if kind == "keras" else "the file's metadata"
    assert "36x28 RGB, the center of an image whose shorter side is resized to 40" in printed
    assert f"classes: 3, {', '.join(CLASSES)} ({where})" in printed
    confusion = np.zeros((len(CLASSES),) * 2, int)
    for (_, label), shares in zip(photographs(trained), expected):
        confusion[label, shares.argmax()] += 1
    assert json.loads(results.read_text())["confusion"] == confusion.tolist()


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_the_runtime_finds_what_keras_finds(kind, trained, files, expected):
    classifier = images.Classifier(Interpreter(files[kind]))
    for (path, _), shares in zip(photographs(trained), expected):
        found = dict(classifier.classify(classifier.read(path), top=len(CLASSES)))
        assert set(found) == set(CLASSES)
        np.testing.assert_allclose([found[name] for name in CLASSES], shares, atol=2e-3)


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_bcd_run_finds_what_keras_finds(kind, trained, files, expected, capsys):
    paths = [str(path) for path, _ in photographs(trained)]
    assert cli.main([str(files[kind]), *paths, "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == paths
    best = [CLASSES[shares.argmax()] for shares in expected]
    assert [line.split()[-1] for line in lines[1::2]] == best


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [None, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_readers_give_the_same_pixels(channels, resize, resampling, trained):
    mean = (0.5,) * channels
    preprocessing = Preprocessing(SIZE, mean, mean, resize, resampling)
    detail = TensorDetail("image", (1, *SIZE, channels), np.dtype(np.float32), 0.0, 0)
    how = images.Preprocessing((127.5,), (127.5,), resize, resampling)
    for path, _ in photographs(trained):
        own = images.read_image(path, detail, how)
        np.testing.assert_array_equal(own, reader.read_pixels(path, preprocessing))
        encoded = preprocessing.encoded(own)[None]
        np.testing.assert_array_equal(images.prepare(own, detail, how), encoded)
