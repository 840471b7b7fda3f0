import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from larq_bcd.convert import ConversionError
from larq_bcd.convert.inputs import given_arrays, noise, photographs, saved_arrays
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
    (x,) = noise(_model(32, 32, 3), 8)
    assert x.shape == (8, 32, 32, 3)
    assert x.dtype == np.float32
    assert -2.2 < x.min() < -1.5
    assert 2 < x.max() < 2.7
    neighbors = np.corrcoef(x[:, :, :-1].ravel(), x[:, :, 1:].ravel())[0, 1]
    assert neighbors > 0.7
    np.testing.assert_array_equal([x], noise(_model(32, 32, 3), 8))


def test_noise_has_the_range_of_the_preprocessing():
    (x,) = noise(_model(32, 32, 3), 8, Preprocessing((32, 32), (0.5,) * 3, (0.1,) * 3, None))
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
    (x,) = noise(model, 8)
    assert 0 <= x.min() < 10
    assert 245 < x.max() <= 255


def test_images_are_resized_by_the_shorter_side_and_cropped_at_the_center(tmp_path):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:, 32:96] = 255
    PIL.Image.fromarray(pixels).save(tmp_path / "wide.png")
    (x,) = photographs(tmp_path, 5, _model(32, 32, 3), _unchanged(32, 32, resize=37))
    assert x.shape == (1, 32, 32, 3)
    np.testing.assert_allclose(x, 1)


def test_images_of_sub_folders_are_read_up_to_the_count(tmp_path):
    for name in ("a/1.jpg", "b/2.JPEG", "3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PIL.Image.new("L", (10, 20), 128).save(tmp_path / name)
    model, gray = _model(8, 8, 1), _unchanged(8, 8, 1)
    assert photographs(tmp_path, 5, model, gray)[0].shape == (3, 8, 8, 1)
    assert photographs(tmp_path, 2, model, gray)[0].shape == (2, 8, 8, 1)


def test_photographs_are_upright_and_of_16_bits_the_upper_half_counts(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # taken upside down
    rows = np.repeat(np.arange(0, 240, 30, np.uint8)[:, None], 8, axis=1)
    PIL.Image.fromarray(rows).save(tmp_path / "a.png", exif=exif)
    PIL.Image.fromarray(rows.astype(np.uint16) * 256 + 255).save(tmp_path / "b.png")
    (x,) = photographs(tmp_path, 2, _model(8, 8, 1), _unchanged(8, 8, 1))
    turned, wide = x[..., 0]
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
    with pytest.raises(ConversionError, match="a folder has images"):
        photographs(tmp_path, 5, _model(8), None)
    with pytest.raises(ConversionError, match=r"not known.*give --mean and --std"):
        photographs(tmp_path, 5, model, None)


def test_the_images_are_evenly_spread_over_a_folder(tmp_path):
    for number in range(9):
        PIL.Image.new("L", (8, 8), 20 * number).save(tmp_path / f"{number}.png")
    (x,) = photographs(tmp_path, 4, _model(8, 8, 1), _unchanged(8, 8, 1))
    np.testing.assert_allclose(x[:, 0, 0, 0] * 255, [0, 60, 100, 160], atol=1e-3)


def test_messages_name_the_option_and_what_it_allows(tmp_path):
    model, images = _model(8, 8, 3), _unchanged(8, 8)
    with pytest.raises(ConversionError, match=r"^check-inputs .*or leave it out to check on"):
        photographs(tmp_path, 5, model, images)
    with pytest.raises(ConversionError, match=r"^calibrate .*holds no images.*\.webp\)\.$"):
        photographs(tmp_path, 5, model, images, "calibrate")
    with pytest.raises(ConversionError, match=r"^calibrate .*cannot be read"):
        saved_arrays(tmp_path / "missing.npy", 5, model, "calibrate")


def _indexed(dtype, table):
    words = tf.keras.Input((6,), dtype=dtype)
    return tf.keras.Model(words, table(words))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
@pytest.mark.parametrize(
    "table",
    [
        layers.Embedding(11, 2),
        lambda x: tf.gather(np.eye(11, dtype=np.float32), tf.cast(x, tf.int32)),
        lambda x: tf.one_hot(tf.cast(tf.reshape(x, (-1, 3, 2)), tf.int32), 11),
        lambda x: layers.Embedding(11, 2)(x) + tf.reduce_sum(layers.Embedding(40, 2)(x)),
    ],
    ids=["Embedding", "gather", "one_hot", "two tables"],
)
def test_noise_for_a_table_is_indices_of_it(dtype, table):
    (x,) = noise(_indexed(dtype, table), 50)
    assert x.dtype == dtype
    np.testing.assert_array_equal(np.unique(x), np.arange(11))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("int8", -128, 127), ("uint8", 0, 255), ("int32", 0, 255), ("bool", False, True)],
)
def test_noise_fills_the_range_of_a_type(dtype, low, high):
    (x,) = noise(_model(32, 32, 3, dtype=dtype, first=lambda x: tf.cast(x, tf.float32)), 8)
    assert x.dtype == dtype
    assert (x.min() - 2 <= low <= x.min(), x.max() <= high <= x.max() + 2) == (True, True)


def test_noise_for_several_inputs_suits_each():
    image, vector = tf.keras.Input((8, 8, 3)), tf.keras.Input((5,))
    words = tf.keras.Input((4,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(3, 2)(words))
    x = layers.Concatenate()([layers.Flatten()(image), vector, embedded])
    given = noise(tf.keras.Model([image, vector, words], x), 6, _unchanged(8, 8))
    assert [(x.shape, x.dtype) for x in given] == [
        ((6, 8, 8, 3), np.float32),
        ((6, 5), np.float32),
        ((6, 4), np.int32),
    ]
    assert given[0].min() >= 0
    assert given[1].min() < 0
    assert given[2].max() == 2


def test_bytes_of_images_are_prepared_for_a_model_that_takes_them():
    model = _model(32, 32, 3, dtype="int8", first=lambda x: tf.cast(x, tf.float32))
    (x,) = noise(model, 8, Preprocessing((32, 32), (0.5,) * 3, (0.1,) * 3, None))
    assert x.min() < -120
    assert x.max() > 120


def test_texts_cannot_be_made_up():
    model = _model(3, dtype="string", first=tf.strings.length)
    with pytest.raises(ConversionError, match="takes texts"):
        noise(model, 2)


@pytest.fixture
def pair():
    left, count = (
        tf.keras.Input((2,), name="left"),
        tf.keras.Input((3,), None, "count", "int32"),
    )
    return tf.keras.Model(
        [left, count], layers.Concatenate()([left, tf.cast(count, tf.float32)])
    )


def test_arrays_are_read_by_the_names_of_the_inputs(tmp_path, pair):
    left, count = np.ones((4, 2)), np.arange(12).reshape(4, 3)
    np.savez(tmp_path / "x.npz", count=count, left=left)
    found = saved_arrays(tmp_path / "x.npz", 3, pair)
    assert [x.dtype for x in found] == [np.float32, np.int32]
    np.testing.assert_array_equal(found[0], left[:3])
    np.testing.assert_array_equal(found[1], count[:3])


def test_an_array_alone_is_for_the_only_input(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    (found,) = saved_arrays(tmp_path / "x.npy", 5, _model(3))
    np.testing.assert_array_equal(found, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"left": np.ones((1, 2))},
            "no array 'count' but 'left'.*savez.file, left=left, count",
        ),
        ({"left": np.ones((1, 2)), "counts": 1}, "Of those that it has, did you mean 'counts'"),
        (
            {"left": 1, "count": 1, "x": 1},
            "an array 'x', but the model's inputs are 'left', 'co",
        ),
        ({"left": np.ones((1, 3)), "count": 1}, r"'left' has shape \(1, 3\).*\('samples', 2\)"),
        ({"left": np.ones(2), "count": 1}, r"'left' has shape \(2,\)"),
        ({"left": np.ones((0, 2)), "count": 1}, "at least one sample"),
        (
            {"left": np.ones((1, 2)), "count": np.ones((1, 3))},
            r"'count' has type float64, but the input takes int32.*astype\('int32'\)",
        ),
        (
            {"left": np.ones((1, 2)), "count": np.full((1, 3), 1 << 40)},
            "values from 1099511627776 to 1099511627776, which int32 does not hold",
        ),
        (
            {"left": np.ones((2, 2)), "count": np.ones((1, 3), int)},
            "more samples of some inputs than of others .*'left': 2, 'count': 1",
        ),
        ({"": np.ones((1, 2))}, "one array, but the model has 2 inputs.*npz"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pair, arrays, words):
    with pytest.raises(ConversionError, match=words):
        given_arrays({name: np.asarray(x) for name, x in arrays.items()}, pair, "x.npz")


@pytest.mark.parametrize("content", [b"no array", b"", b"PK\x03\x04 damaged"])
def test_a_file_without_arrays_is_refused(tmp_path, content, pair):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(ConversionError, match=r"x.npz cannot be read.*numpy\.save"):
        saved_arrays(tmp_path / "x.npz", 1, pair)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ConversionError, match="cannot be read"):
        saved_arrays(tmp_path / "objects.npy", 1, pair)


def test_images_of_a_folder_are_for_one_input(tmp_path, pair):
    with pytest.raises(ConversionError, match=r"2 \(left, count\): give an .npz file"):
        photographs(tmp_path, 5, pair, None)
