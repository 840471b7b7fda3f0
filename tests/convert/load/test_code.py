"""A file is data: what a configuration must not name."""

import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf
from crafted_models import FORMATS, change_configs, identity_model, naming, save

from larq_bcd.commands.declared import COMMANDS, LCE_CONVERT
from larq_bcd.commands.main import larq_bcd as main
from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import ConversionError, load_model
from larq_bcd.convert.load.code import refuse_code

layers = tf.keras.layers


@pytest.fixture
def treasure(tmp_path):
    """A folder that must survive."""
    folder = tmp_path / "treasure"
    folder.mkdir()
    (folder / "gold").write_text("42")
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_a_function_that_deletes_folders_is_not_called(tmp_path, treasure, name):
    path = save(identity_model(), tmp_path / name)
    change_configs(path, naming("io.gfile.rmtree", str(treasure)))
    with pytest.raises(ConversionError) as raised:
        load_model(path)
    for word in ("'io.gfile.rmtree'", "'tf.identity", "--trust-code"):
        assert word in str(raised.value)
    assert (treasure / "gold").exists()


def test_a_trusted_file_may_name_any_function(tmp_path, treasure):
    path = change_configs(
        save(identity_model(), tmp_path / "model.keras"), naming("strings.length", "four")
    )
    with pytest.raises(ConversionError, match=r"strings\.length.*--trust-code"):
        load_model(path)
    with pytest.raises(ConversionError, match="cannot be loaded"):
        load_model(path, trust_code=True)


@pytest.mark.parametrize(
    "command",
    [
        ("lce_convert", "MODEL", "-o", "file.tflite"),
        ("evaluate", "MODEL", "--dataset", "cifar10"),
        ("explain", "MODEL", "image.png", "-o", "seen.png"),
        ("summary", "MODEL"),
    ],
)
def test_no_command_calls_it(tmp_path, treasure, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    path = change_configs(
        save(identity_model(), tmp_path / "model.keras"),
        naming("io.gfile.rmtree", str(treasure)),
    )
    name, *arguments = [str(path) if word == "MODEL" else word for word in command]
    run = lce_convert if name == "lce_convert" else main
    assert run(arguments if name == "lce_convert" else [name, *arguments]) == 2
    error = capsys.readouterr().err
    assert "io.gfile.rmtree" in error
    assert "--trust-code" in error
    assert (treasure / "gold").exists()


@pytest.mark.parametrize("command", [*COMMANDS.values(), LCE_CONVERT])
def test_the_options_that_messages_name_exist_where_a_model_is_loaded(command):
    options = command.parser().format_help()
    loads = command.name.split()[-1] in ("evaluate", "explain", "summary", "lce_convert")
    assert ("--trust-code" in options) == loads
    assert ("--import" in options) == loads


def _dense(**changes):
    model = tf.keras.Sequential([layers.Input((4,)), layers.Dense(2, name="victim")])
    config = tf.keras.saving.serialize_keras_object(model)
    config["config"]["layers"][-1]["config"].update(changes)
    return config


def _object(class_name, module=None, registered_name=None, config=None):
    return {
        "class_name": class_name,
        "module": module,
        "registered_name": registered_name,
        "config": config or {},
    }


FILES = "tensorflow.python.lib.io.file_io"
CRAFTED = {
    "a function of a module": _object("function", "os", "system", "system"),
    "of TensorFlow's": _object("function", FILES, "x", "delete_recursively_v2"),
    "of Python's": _object("function", "builtins", "eval", "eval"),
    "of Keras's that saves": _object("function", "keras.models", "x", "save_model"),
    "of a list, elsewhere": _object("function", "os", "relu", "relu"),
    "a class of a module": _object("Popen", "subprocess"),
    "of TensorFlow's files": _object("FileIO", FILES),
    "of an allowed name, elsewhere": _object("Dense", "subprocess"),
    "of a registered name, elsewhere": _object("SteSign", "subprocess"),
    "hidden by a registered name": _object("TextVectorization", None, "SteSign"),
    "behind an allowed name": _object("Add", "keras.engine.functional", "base_layer"),
    "a layer of any operation": _object("TensorFlowOpLayer", config={"node_def": {}}),
    "a layer of any method": _object("InstanceMethod", config={"attr_name": "x"}),
    "a layer of any property": _object("InstanceProperty", config={"attr_name": "x"}),
    "a layer of a class's methods": _object("ClassMethod", config={"cls_symbol": "io.gfile"}),
    "a vocabulary": _object("StringLookup", "keras.layers", config={"vocabulary": "/etc"}),
    "a vocabulary of integers": _object("IntegerLookup", "keras.layers"),
    "a vocabulary of words": _object("TextVectorization", "keras.layers"),
    "columns": _object("DenseFeatures", config={"feature_columns": []}),
    "code": _object("__lambda__", config={"value": "code"}),
    "a type": {**_object("__typespec__", "os"), "spec_name": "system"},
    "another type": {"class_name": "TypeSpec", "type_spec": "tf.DatasetSpec"},
    "a callback": _object("CSVLogger", "keras.callbacks", config={"filename": "/tmp/x"}),
    "no name": {"class_name": ["Dense"], "config": {}},
}


@pytest.mark.parametrize("crafted", CRAFTED.values(), ids=CRAFTED)
@pytest.mark.parametrize("key", ["activation", "kernel_initializer", "kernel_constraint"])
def test_what_is_not_part_of_a_network_is_refused_wherever_it_stands(tmp_path, crafted, key):
    config = _dense(**{key: crafted})
    with pytest.raises(ConversionError, match=r"--trust-code|--import") as raised:
        refuse_code(tmp_path / "model.keras", config)
    assert "\n" not in str(raised.value)


def test_the_layer_is_named(tmp_path):
    config = _dense(activation=CRAFTED["a function of a module"])
    with pytest.raises(ConversionError, match=r"'system'.*'os' of the layer 'victim'"):
        refuse_code(tmp_path / "model.keras", config)
    with pytest.raises(ConversionError, match="activation 'deserialize' of the layer 'victim'"):
        refuse_code(tmp_path / "model.keras", _dense(activation="deserialize"))


def test_a_nested_call_is_refused_too(tmp_path):
    inner = identity_model()
    image = tf.keras.Input((4, 4, 3))
    path = tmp_path / "model.keras"
    tf.keras.Model(image, layers.ReLU()(inner(image))).save(path)
    change_configs(path, naming("io.gfile.rmtree", "x"))
    with pytest.raises(ConversionError, match=r"io\.gfile\.rmtree"):
        load_model(path)


def test_how_a_model_was_trained_does_not_matter(tmp_path):
    inner = identity_model()
    inner.compile("adam", loss=lambda truth, y: tf.reduce_mean(truth - y))
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, layers.ReLU()(inner(image)))
    model.compile("sgd", loss=lambda truth, y: tf.reduce_mean(truth - y))
    path = tmp_path / "model.keras"
    model.save(path)
    x = np.ones((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(load_model(path).model(x), model(x))


def _two_in_one(tmp_path, treasure):
    """The bytes of a sound archive, and of an HDF5 file that deletes."""
    sound = save(identity_model(), tmp_path / "sound.keras").read_bytes()
    evil = save(identity_model(), tmp_path / "evil.h5")
    change_configs(evil, naming("io.gfile.rmtree", str(treasure)))
    return sound, evil


def test_an_archive_with_an_hdf5_file_behind_it_is_read_as_the_archive(tmp_path, treasure):
    sound, evil = _two_in_one(tmp_path, treasure)
    path = tmp_path / "both.h5"
    # HDF5 may begin behind a block of the user's.
    block = 1 << len(sound).bit_length()
    with h5py.File(path, "w", userblock_size=block) as both, h5py.File(evil) as source:
        for name in source:
            source.copy(name, both)
        both.attrs.update(source.attrs)
    content = bytearray(path.read_bytes())
    content[: len(sound)] = sound
    # The directory of an archive stands at the end of the file.
    path.write_bytes(content + b"\0" * block + sound)
    x = np.zeros((1, 4, 4, 3), np.float32)
    np.testing.assert_array_equal(load_model(path).model(x), x)
    assert (treasure / "gold").exists()


def test_an_hdf5_file_with_an_archive_behind_it_is_not_read_as_the_archive(tmp_path, treasure):
    sound = save(identity_model(), tmp_path / "sound.h5").read_bytes()
    evil = save(identity_model(), tmp_path / "evil.keras")
    change_configs(evil, naming("io.gfile.rmtree", str(treasure)))
    path = tmp_path / "both.keras"
    path.write_bytes(sound + evil.read_bytes())
    with pytest.raises(ConversionError, match=r"HDF5 file: rename it to both\.h5"):
        load_model(path)
    assert (treasure / "gold").exists()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("kind", ["link", "bytes"])
def test_weights_of_other_files_are_not_read(tmp_path, suffix, kind):
    path = save(identity_model(), tmp_path / f"model.{suffix}")
    (tmp_path / "secret").write_bytes(b"1234" * 9)
    if suffix == "h5":
        _take_from_elsewhere(path, tmp_path / "secret", kind)
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        weights = tmp_path / "weights.h5"
        weights.write_bytes(parts["model.weights.h5"])
        _take_from_elsewhere(weights, tmp_path / "secret", kind)
        parts["model.weights.h5"] = weights.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    with pytest.raises(ConversionError, match=r"another file, .*secret.*--trust-code"):
        load_model(path)


def _take_from_elsewhere(path, secret, kind):
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(
            lambda name, item: found.append(name) if getattr(item, "shape", 0) else None
        )
        name = next(name for name in found if file[name].size == 9)
        shape = file[name].shape
        del file[name]
        if kind == "link":
            file[name] = h5py.ExternalLink(str(secret), "/x")
        else:
            file.create_dataset(name, shape, "float32", external=str(secret))


def test_a_configuration_nested_without_end_is_refused(tmp_path):
    path = save(identity_model(), tmp_path / "model.keras")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = b"[" * 100_000 + b"]" * 100_000
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ConversionError, match="valid JSON"):
        load_model(path)
