import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from larq_bcd.convert import ConversionError
from larq_bcd.convert.inputs import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    images,
    noise,
    normalization_for,
)

layers = tf.keras.layers


def _model(*shape, first=None, dtype=None):
    x = image = tf.keras.Input(shape, dtype=dtype)
    return tf.keras.Model(image, (first or layers.ReLU())(x))


def test_three_channels_are_normalized_as_imagenet():
    normalize = normalization_for(_model(8, 8, 3))
    assert normalize.mean == IMAGENET_MEAN
    np.testing.assert_allclose(normalize(np.array(IMAGENET_MEAN)), 0, atol=1e-7)
    assert normalize.std == IMAGENET_STD


def test_a_model_that_rescales_gets_pixels():
    normalize = normalization_for(_model(8, 8, 3, first=layers.Rescaling(1 / 255)))
    np.testing.assert_allclose(normalize(np.ones((1, 3))), 255, rtol=1e-6)


def test_given_values_are_used_for_each_channel_or_all():
    normalize = normalization_for(_model(8, 8, 3), mean=(0.5,), std=(0.1, 0.2, 0.5))
    np.testing.assert_allclose(normalize(np.ones((1, 3))), [[5, 2.5, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    "given", [{"mean": (1.0, 2.0)}, {"std": (1.0, 2.0)}, {"std": (0.0,)}, {"std": (-1.0,)}]
)
def test_values_that_do_not_fit_are_refused(given):
    with pytest.raises(ConversionError, match=next(iter(given))):
        normalization_for(_model(8, 8, 3), **given)


def test_noise_looks_like_normalized_images():
    x = noise((32, 32, 3), 8, normalization_for(_model(32, 32, 3)))
    assert x.shape == (8, 32, 32, 3)
    assert x.dtype == np.float32
    assert -2.2 < x.min() < -1.5
    assert 2 < x.max() < 2.7
    neighbors = np.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1]
    assert neighbors > 0.7
    np.testing.assert_array_equal(
        x, noise((32, 32, 3), 8, normalization_for(_model(32, 32, 3)))
    )


def test_images_are_resized_by_the_shorter_side_and_cropped_at_the_center(tmp_path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "wide.png")
    x = images(tmp_path, (32, 32, 3), 5, normalization_for(_model(32, 32, 3), (0.0,), (1.0,)))
    assert x.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(x, 1)


def test_images_of_sub_folders_are_read_up_to_the_count(tmp_path):
    for name in ("a/1.jpg", "b/2.JPEG", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.new("L", (10, 20), 128).save(tmp_path / name)
    normalize = normalization_for(_model(8, 8, 1), (0.0,), (1.0,))
    assert images(tmp_path, (8, 8, 1), 5, normalize).shape == (3, 8, 8, 1)
    assert images(tmp_path, (8, 8, 1), 2, normalize).shape == (2, 8, 8, 1)


def test_folders_without_readable_images_are_refused(tmp_path):
    normalize = normalization_for(_model(8, 8, 3))
    with pytest.raises(ConversionError, match="holds no images"):
        images(tmp_path, (8, 8, 3), 5, normalize)
    with pytest.raises(ConversionError, match="not a folder"):
        images(tmp_path / "missing", (8, 8, 3), 5, normalize)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ConversionError, match=r"broken\.png cannot be read"):
        images(tmp_path, (8, 8, 3), 5, normalize)
    with pytest.raises(ConversionError, match="takes images"):
        images(tmp_path, (8,), 5, normalize)
