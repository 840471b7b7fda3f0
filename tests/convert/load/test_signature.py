import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv, randomize

from larq_bcd.convert import ConversionError, convert, load_model

layers = tf.keras.layers


class Called(tf.keras.Model):
    """A network as a class, the way that tutorials write it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stem = layers.Conv2D(32, 3, name="stem")
        self.norm = layers.BatchNormalization(name="norm")
        self.binary = binary_conv(name="binary")
        self.head = layers.Dense(4, name="head")

    def call(self, image, training=False):
        x = self.binary(self.norm(self.stem(image), training=training))
        return self.head(tf.reduce_mean(x, axis=(1, 2)))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(2, 10, 10, 3)).astype("f")


@pytest.fixture(scope="module")
def called(image):
    model = Called(name="called")
    model(image)
    return randomize(model)


def _converts(model, scope=""):
    result = convert(model)
    result.require_binary()
    result.require_equal()
    ships = {layer.name: layer.ships_as for layer in result.report.layers}
    expected = {"stem": "float", "binary": "binary", "head": "float"}
    assert ships == {f"{scope}{name}": kind for name, kind in expected.items()}
    return result


def test_a_model_of_a_class_converts_once_it_has_been_called(called):
    result = _converts(called, "called/")
    assert result.report.float32_bytes == 4 * called.count_params()


def test_one_that_has_not_been_called_is_told_to_be():
    with pytest.raises(ConversionError, match=r"'fresh' \(Called\) .*call it once"):
        convert(Called(name="fresh"))


def test_one_that_takes_more_than_tensors_is_told_how_to_take_them():
    class Two(tf.keras.Model):
        def call(self, image, mask):
            return image * mask

    model = Two(name="two")
    model(np.ones((1, 4, 4, 3)), np.ones((1, 4, 4, 3)))
    with pytest.raises(ConversionError, match=r"'two' \(Two\) .*2 positional .*first one"):
        convert(model)


@pytest.mark.parametrize("how", ["export", "save", "tensorflow"])
def test_a_saved_model_of_operations_alone_has_the_layers_of_its_variables(
    called, image, tmp_path, how
):
    folder = tmp_path / "folder"
    match how:
        case "export":
            called.export(folder)
        case "save":
            called.save(folder, save_format="tf")
        case "tensorflow":
            tf.saved_model.save(called, str(folder))
            (folder / "keras_metadata.pb").unlink(missing_ok=True)
    loaded = load_model(folder).model
    np.testing.assert_allclose(loaded(image), called(image), rtol=1e-5, atol=1e-5)
    assert loaded.count_params() == called.count_params()
    _converts(loaded)


def test_an_archive_of_a_class_loads_where_the_class_is_known(called, image, tmp_path):
    called.save(tmp_path / "called.keras")
    with pytest.raises(ConversionError, match=r"'Called'.*--import"):
        load_model(tmp_path / "called.keras")
    with tf.keras.utils.custom_object_scope({"Called": Called}):
        loaded = load_model(tmp_path / "called.keras").model
    np.testing.assert_array_equal(loaded(image), called(image))


def test_of_several_signatures_one_has_to_be_the_default(tmp_path):
    module = tf.Module()
    functions = {
        name: tf.function(lambda x, n=n: {"y": n * x}).get_concrete_function(
            tf.TensorSpec([None, 4], name="x")
        )
        for n, name in ((2.0, "double"), (3.0, "triple"))
    }
    tf.saved_model.save(module, str(tmp_path / "two"), signatures=functions)
    with pytest.raises(ConversionError, match=r"double, triple\): .*'serving_default'"):
        load_model(tmp_path / "two")
    module = tf.Module()
    functions["serving_default"] = functions.pop("triple")
    tf.saved_model.save(module, str(tmp_path / "default"), signatures=functions)
    assert load_model(tmp_path / "default").model(np.ones((1, 4)))[0, 0] == 3


def test_a_lambda_layer_that_keras_cannot_restore_is_named_and_its_export_converts(tmp_path):
    def of(scale, shift):
        return layers.Lambda(lambda x: tf.add(x * scale[0], shift), name="scaled")

    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, of({0: tf.ones(3)}, tf.ones(3))(image))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ConversionError, match=r"'scaled' \(Lambda\).*model\.export"):
        load_model(tmp_path / "model.keras", trust_code=True)
    model.export(tmp_path / "folder")
    convert(load_model(tmp_path / "folder").model).require_equal()
