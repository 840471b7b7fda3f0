import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larq_bcd.data import images, transforms
from larq_bcd.data.augmentation import Augmentation
from larq_bcd.data.batches import evaluation_batches, open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

PHOTOGRAPHS = Preprocessing((12, 10), (0.5,) * 3, (0.25,) * 3, resize=14)

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30), np.uint8))


def picture(rng, size=(40, 30)):
    """Colors that change slowly, as in photographs."""
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def encoded(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(contents, channels=3):
    return np.asarray(images.decode(contents, channels))


@pytest.mark.parametrize("form", ["WEBP", "TIFF", "PPM", "PNG", "BMP"])
def test_formats_without_loss_are_read_as_they_are(form, rng):
    image = picture(rng)
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(decoded(encoded(image, form, **options)), image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_format_is_turned_upright(form, orientation, rng):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture(rng)
    options = {"lossless": True} if form == "WEBP" else {}
    plain = decoded(encoded(image, form, **options))
    turned = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: x[::-1].transpose(1, 0, 2),
        7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
        8: lambda x: x[:, ::-1].transpose(1, 0, 2),
    }[orientation](plain)
    found = decoded(encoded(image, form, exif=exif, **options))
    np.testing.assert_array_equal(found, turned)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_of_16_bits_the_upper_half_counts(form, rng):
    wide = rng.integers(0, 1 << 16, (6, 8)).astype(np.uint16)
    contents = encoded(Image.fromarray(wide), form)
    np.testing.assert_array_equal(decoded(contents, 1), wide >> 8)


def test_palettes_and_transparency_become_plain_colors(rng):
    image = picture(rng)
    palette = image.quantize(64)
    np.testing.assert_array_equal(decoded(encoded(palette, "PNG")), palette.convert("RGB"))
    transparent = image.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(image.size))
    np.testing.assert_array_equal(decoded(encoded(transparent, "PNG")), image)
    np.testing.assert_array_equal(decoded(encoded(image, "PNG"), 1), image.convert("L"))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "not an image"),
        (b"<svg/>", "not an image in one of BMP, GIF, JPEG"),
        # Pillow would run a program for it.
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (encoded(Image.new("F", (9, 9)), "TIFF"), "32 bits"),
        (encoded(Image.new("I", (9, 9)), "TIFF"), "32 bits"),
        (encoded(Image.new("L", (1000, 9)), "PNG"), "it is 1000x9, a line"),
        (encoded(Image.new("1", (20000, 20000)), "PNG"), "too many pixels"),
        (encoded(NOISE, "PNG")[:-200], "damaged"),
        (encoded(NOISE, "JPEG")[:-200], "damaged"),
        (encoded(NOISE, "WEBP")[:-200], "."),
    ],
)
def test_what_is_not_an_image_of_use_is_refused(contents, message):
    with pytest.raises(ValueError, match=message):
        images.decode(contents, 3)


def test_bytes_that_are_damaged_anywhere_are_refused_or_read(rng):
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        options = {} if form == "GIF" else {"exif": exif}
        contents = encoded(picture(rng), form, **options)
        for _ in range(60):
            damaged = bytearray(contents)
            for place in rng.integers(0, len(contents), 4):
                damaged[place] = rng.integers(256)
            with contextlib.suppress(ValueError):
                assert images.decode(bytes(damaged), 3).mode == "RGB"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.png cannot be read .*check its path"):
        images.read_pixels(tmp_path / "none.png", PHOTOGRAPHS)
    (tmp_path / "text.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"text\.png cannot be read .*repair or remove it"):
        images.read_pixels(tmp_path / "text.png", PHOTOGRAPHS)


def test_the_whole_image_is_squeezed_without_resize(rng):
    image = picture(rng)
    squeezed = Preprocessing((12, 10), (0.5,) * 3, (0.25,) * 3, None, "bicubic")
    expected = image.resize((10, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(images.fit(image, squeezed), expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [None, 6])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_pipeline_decodes_jpegs_to_the_pixels_that_are_read(mode, orientation, options, rng):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image = picture(rng, (83, 61)).convert(mode)
    contents = encoded(image, "JPEG", exif=exif, **options)
    for channels in (1, 3):
        found = transforms.decode(tf.constant(contents), channels)
        expected = decoded(contents, channels).reshape(found.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("encoding", ["float32", "uint8", "int8"])
def test_evaluation_and_training_see_the_pixels_that_are_read(encoding, rng, tmp_path):
    """A folder of which TensorFlow itself can decode a part."""
    (tmp_path / "train" / "cat").mkdir(parents=True)
    for number, form in enumerate(["WEBP", "JPEG", "PNG", "TIFF", "GIF"] * 2):
        path = tmp_path / "train" / "cat" / f"{number}.{form.lower()}"
        picture(rng, (40 + number, 30)).save(path)
    source = open_source(str(tmp_path), "train")
    assert source.num_examples == 10
    plain = Preprocessing((12, 10), (0.5,) * 3, (0.25,) * 3, 14, encoding=encoding)
    paths = [path.decode() for path in source.locate(np.arange(10))[0]]
    pixels = np.stack([images.read_pixels(path, plain) for path in paths])
    (found, _) = next(iter(evaluation_batches(source, plain, 10)))
    assert found.dtype == encoding
    np.testing.assert_array_equal(found, plain.encoded(pixels))
    if encoding == "float32":
        batches = training_batches(source, plain, Augmentation(), 10, seed=0)
        (trained, _) = next(iter(batches))
        found = {plain.pixels(image).tobytes() for image in trained.numpy()}
        assert found == {image.tobytes() for image in pixels}


def test_files_that_are_left_out_of_a_folder_are_named(rng, tmp_path, caplog):
    (tmp_path / "cat").mkdir()
    picture(rng).save(tmp_path / "cat" / "a.webp")
    for name in ("b.heic", "notes.txt", ".hidden"):
        (tmp_path / "cat" / name).write_bytes(b"")
    assert open_source(str(tmp_path), "train").num_examples == 1
    (line,) = [r.getMessage() for r in caplog.records if r.name == tf.get_logger().name]
    assert line.startswith("left out 2 files of ")
    assert "b.heic" in line
