import errno
import json
import zipfile

import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from conversion_models import binary_conv

from larq_bcd.convert import ConversionError, load_model
from larq_bcd.convert.load import random_weights
from larq_bcd.models import list_models

layers = tf.keras.layers


def _refuses(source, *words, **options):
    with pytest.raises(ConversionError) as raised:
        load_model(source, **options)
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_every_format_loads_with_its_weights(small, tmp_path, name):
    path = tmp_path / name
    small.save(path, **({"save_format": "tf"} if name == "folder" else {}))
    loaded = load_model(path)
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("f")
    np.testing.assert_allclose(loaded.model(x), small(x), rtol=1e-5, atol=1e-5)
    assert loaded.is_trained


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_an_initializer_of_tensorflow_is_known(tmp_path, suffix):
    path = tmp_path / f"model.{suffix}"
    initializer = tf.constant_initializer(0.5)
    head = tf.keras.layers.Dense(2, bias_initializer=initializer, input_shape=(4,))
    tf.keras.Sequential([head]).save(path)
    np.testing.assert_array_equal(load_model(path).model.get_weights()[1], [0.5, 0.5])


def test_a_published_name_is_built_with_random_weights():
    assert {"BCDNetA", "BCDNetB", "ReActNetA"} <= set(list_models())
    loaded = load_model("ReActNetA")
    assert loaded.model.input_shape == (None, 224, 224, 3)
    assert not loaded.is_trained
    # Half of the signs are negative, so that no two filters are one in the file.
    kernels = [w.numpy() for w in loaded.model.trainable_weights if w.shape.rank == 4]
    assert all(0.45 < (kernel < 0).mean() < 0.55 for kernel in kernels)


def test_a_missing_path_names_the_published_models(tmp_path):
    _refuses(tmp_path / "missing.keras", "does not exist", "BCDNetB")


def test_an_archive_with_more_than_a_plain_model_is_left_to_keras(small, small_file, tmp_path):
    path = tmp_path / "more.keras"
    path.write_bytes(small_file.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/vocabulary.txt", "a word")
    for loaded, weight in zip(load_model(path).model.weights, small.weights, strict=True):
        np.testing.assert_array_equal(loaded, weight)


def test_a_full_folder_of_temporary_files_is_not_called_damage(small_file, monkeypatch):
    def extract(archive, member, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extract", extract)
    _refuses(small_file, "temporary files (No space left on device)", "set TMPDIR")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\0" * 99]
)
@pytest.mark.parametrize("suffix", [".keras", ".h5", ""])
def test_what_is_not_a_model_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    _refuses(path, str(path))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(small, tmp_path, suffix, part):
    path = tmp_path / f"model{suffix}"
    small.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    _refuses(path, str(path), "save")


def test_weights_alone_are_refused(small, tmp_path):
    for name in ("old.h5", "new.weights.h5"):
        small.save_weights(tmp_path / name)
        _refuses(tmp_path / name, "weights only", "load_weights")


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["numbers"] = [1, 2]
    _refuses(tmp_path / "data.h5", "no Keras model")


def test_an_archive_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.keras", "w") as archive:
        archive.writestr("readme", "hello")
    _refuses(tmp_path / "data.keras", "config.json")


def test_a_folder_of_something_else_is_refused(tmp_path):
    _refuses(tmp_path, "not a SavedModel")


def test_a_saved_model_without_layers_and_signatures_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "plain"))
    _refuses(tmp_path / "plain", "without layers and signatures", "model.save")


def _lambda_model(wrap):
    image = tf.keras.Input((4, 4, 3))
    return tf.keras.Model(image, wrap(layers.Lambda(lambda x: 2 * x, name="code"))(image))


def _nested(layer):
    inner = tf.keras.Input((4, 4, 3))
    return tf.keras.Model(inner, layer(inner))


@pytest.mark.parametrize("wrap", [lambda x: x, layers.TimeDistributed, _nested])
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_a_lambda_layer_is_refused_unless_trusted(tmp_path, name, wrap):
    path = tmp_path / name
    options = {"save_format": "tf"} if name == "folder" else {}
    _lambda_model(wrap).save(path, **options)
    _refuses(path, "Python code", "code", "--trust-code")
    model = load_model(path, trust_code=True).model
    np.testing.assert_array_equal(model(np.ones((1, 4, 4, 3))), np.full((1, 4, 4, 3), 2.0))


def test_a_lambda_layer_of_a_named_function_is_refused_too(tmp_path):
    model = tf.keras.Sequential([layers.Input((4, 4, 3)), layers.Lambda(tf.nn.relu)])
    model.save(tmp_path / "model.keras")
    _refuses(tmp_path / "model.keras", "Python code", "--trust-code")


def _rewrite_config(path, change):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("module", ["planted", "os", "builtins"])
@pytest.mark.parametrize("registered", [None, "package>Planted"])
def test_a_module_that_the_file_names_is_not_imported(
    tmp_path, monkeypatch, module, registered
):
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "model.keras"
    tf.keras.Sequential([layers.Input((4, 4, 3)), layers.Conv2D(2, 1)]).save(path)

    def plant(config):
        config["config"]["layers"][-1]["config"]["activation"] = {
            "class_name": "function",
            "module": module,
            "config": "eval",
            "registered_name": registered,
        }

    _rewrite_config(path, plant)
    _refuses(path, f"'{module}'", "--trust-code")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_layer_is_named(tmp_path):
    @tf.keras.utils.register_keras_serializable("elsewhere")
    class Unheard(layers.Layer):
        def call(self, x):
            return x

    for name in ("model.keras", "model.h5"):
        tf.keras.Sequential([layers.Input((4, 4, 3)), Unheard()]).save(tmp_path / name)
    tf.keras.utils.get_custom_objects().pop("elsewhere>Unheard")
    for name in ("model.keras", "model.h5"):
        _refuses(tmp_path / name, "Unheard", "--import")


def test_a_quantizer_survives_loading(tmp_path):
    model = tf.keras.Sequential([layers.Input((4, 4, 32)), binary_conv(name="conv")])
    model.save(tmp_path / "model.keras")
    conv = load_model(tmp_path / "model.keras").model.get_layer("conv")
    assert isinstance(conv.input_quantizer, lq.quantizers.SteSign)


def test_values_of_a_new_network_that_grow_without_end_are_normalized():
    image = x = tf.keras.Input((4, 4, 3))
    for _ in range(3):
        x = tf.keras.layers.BatchNormalization()(x * 100)
    grown = tf.keras.Model(image, x)
    still = tf.keras.Model(image, tf.keras.layers.BatchNormalization()(image))
    for model, changes in ((grown, True), (still, False)):
        random_weights.calibrate(model, np.random.default_rng(0))
        changed = [not np.all(layer.moving_variance == 1) for layer in norms(model)]
        assert changed == len(changed) * [changes]
        assert np.abs(model(np.ones((1, 4, 4, 3)))).max() < 10
        assert all(layer.momentum == 0.99 for layer in norms(model))


def norms(model):
    return [one for one in model.layers if hasattr(one, "moving_variance")]
