import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from larq_bcd.convert import ConversionError
from larq_bcd.convert.inputs import noise, photographs
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

layers = tf.keras.layers


def _model(*shape, first=None, dtype=None):
    x = image = tf.keras.Input(shape, dtype=dtype)
    return tf.keras.Model(image, (first or layers.ReLU())(x))


def _unchanged(height, width, channels=3, resize=None):
    """What leaves pixels of 0 to 255 as numbers in [0, 1]."""
    return Preprocessing((height, width), (0.0,) * channels, (1.0,) * channels, resize)


def test_noise_looks_like_normalized_images():
    x = noise(_model(32, 32, 3), 8)
    assert x.shape == (8, 32, 32, 3)
    assert x.dtype == np.float32
    assert -2.2 < x.min() < -1.5
    assert 2 < x.max() < 2.7
    neighbors = np.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1]
    assert neighbors > 0.7
    np.testing.assert_array_equal(x, noise(_model(32, 32, 3), 8))


def test_noise_has_the_range_of_the_preprocessing():
    x = noise(_model(32, 32, 3), 8, Preprocessing((32, 32), (0.5,) * 3, (0.1,) * 3, None))
    assert -5 <= x.min() < -4.5
    assert 4.5 < x.max() <= 5


@pytest.mark.parametrize(
    "model",
    [
        _model(32, 32, 3, first=layers.Rescaling(1 / 255)),
        _model(32, 32, 3, first=layers.Normalization(mean=[1.0] * 3, variance=[2.0] * 3)),
        _model(32, 32, 3, dtype="uint8", first=layers.Rescaling(1 / 255)),
    ],
)
def test_noise_for_a_model_that_scales_pixels_has_their_range(model):
    x = noise(model, 8)
    assert 0 <= x.min() < 10
    assert 245 < x.max() <= 255


def test_images_are_resized_by_the_shorter_side_and_cropped_at_the_center(tmp_path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "wide.png")
    x = photographs(tmp_path, 5, _model(32, 32, 3), _unchanged(32, 32, resize=37))
    assert x.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(x, 1)


def test_images_of_sub_folders_are_read_up_to_the_count(tmp_path):
    for name in ("a/1.jpg", "b/2.JPEG", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.new("L", (10, 20), 128).save(tmp_path / name)
    model, gray = _model(8, 8, 1), _unchanged(8, 8, 1)
    assert photographs(tmp_path, 5, model, gray).shape == (3, 8, 8, 1)
    assert photographs(tmp_path, 2, model, gray).shape == (2, 8, 8, 1)


def test_photographs_are_upright_and_of_16_bits_the_upper_half_counts(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # taken upside down
    rows = np.repeat(np.arange(0, 240, 30, np.uint8)[:, None], 8, axis=1)
    PIL.Image.fromarray(rows).save(tmp_path / "a.png", exif=exif)
    PIL.Image.fromarray(rows.astype(np.uint16) * 256 + 255).save(tmp_path / "b.png")
    turned, wide = photographs(tmp_path, 2, _model(8, 8, 1), _unchanged(8, 8, 1))[..., 0]
    np.testing.assert_allclose(255 * turned, rows[::-1], atol=1e-4)
    np.testing.assert_allclose(255 * wide, rows, atol=1e-4)


def test_folders_without_readable_images_are_refused(tmp_path):
    model, images = _model(8, 8, 3), _unchanged(8, 8)
    with pytest.raises(ConversionError, match="holds no images"):
        photographs(tmp_path, 5, model, images)
    with pytest.raises(ConversionError, match="not a folder"):
        photographs(tmp_path / "missing", 5, model, images)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(UserError, match=r"broken\.png cannot be read"):
        photographs(tmp_path, 5, model, images)
    with pytest.raises(ConversionError, match="takes images"):
        photographs(tmp_path, 5, _model(8), None)
    with pytest.raises(ConversionError, match=r"not known.*give --mean and --std"):
        photographs(tmp_path, 5, model, None)
