"""Files that others bring for a Keras model: each is told what it is, and what to do."""

import json
import pickle
import zipfile

import h5py
import pytest

from larq_bcd.convert import ConversionError, load_model


def _refusal(path):
    with pytest.raises(ConversionError) as raised:
        load_model(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def _archive(path, **parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "."), content)


def test_a_file_of_pytorch_is_for_another_command(tmp_path):
    with zipfile.ZipFile(tmp_path / "new.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    older = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    (tmp_path / "old.pth").write_bytes(older + pickle.dumps(1001, protocol=2))
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    length = len(header).to_bytes(8, "little")
    (tmp_path / "weights.safetensors").write_bytes(length + header + bytes(4))
    for name in ("new.pt", "old.pth", "weights.safetensors"):
        assert "larq-bcd import" in _refusal(tmp_path / name)


def test_a_pickle_of_anything_is_not_called_one_of_pytorch(tmp_path):
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    message = _refusal(tmp_path / "list.pkl")
    assert "is not a Keras model" in message
    assert "PyTorch" not in message


def test_a_file_of_tensorflow_lite_is_known_by_its_content(tmp_path):
    for name in ("model.tflite", "model.bin", "model"):
        (tmp_path / name).write_bytes(b"\x1c\0\0\0TFL3" + bytes(32))
        assert "larq-bcd show" in _refusal(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.onnx", "is an ONNX model"),
        ("saved_model.pb", "give the folder"),
        ("frozen.pb", "is not a Keras model"),
        ("weights.index", "holds weights only"),
        ("train.py", "is Python code"),
        ("model.json", "holds no weights"),
    ],
)
def test_other_files_are_known_by_their_names(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"\x08\x07 anything else")
    assert words in _refusal(tmp_path / name)


def test_a_model_of_a_strange_name_is_read(small_file, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small_file.read_bytes())
    assert load_model(path).is_trained


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(ConversionError, match=r"cannot be read \(File name too long\)"):
        load_model(300 * "a")


def test_a_folder_says_what_is_in_it(small_file, tmp_path):
    assert "give one with saved_model.pb" in _refusal(tmp_path)
    (tmp_path / "epoch_3.index").touch()
    for path in (tmp_path, tmp_path / "epoch_3"):
        assert "load_weights" in _refusal(path)
    model = tmp_path / "model.keras"
    model.write_bytes(small_file.read_bytes())
    assert f"give a file in it, such as {model}." in _refusal(tmp_path)


def test_a_file_of_keras_3_is_not_called_one_of_foreign_code(tmp_path):
    version = {"keras_version": "3.15.1"}
    config = {"class_name": "Sequential", "config": {"dtype": {"class_name": "DTypePolicy"}}}
    text = json.dumps(config)
    _archive(tmp_path / "m.keras", config__json=text, metadata__json=json.dumps(version))
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs.update(version, model_config=text)
    for name in ("m.keras", "m.h5"):
        message = _refusal(tmp_path / name)
        assert "was saved by Keras 3.15.1" in message
        assert "model.export" in message


@pytest.mark.parametrize("metadata", ["[]", "null", '{"keras_version": 3}'])
def test_metadata_of_nothing_known_do_not_matter(small_file, tmp_path, metadata):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(small_file) as given, zipfile.ZipFile(path, "w") as archive:
        for name in given.namelist():
            content = metadata if name == "metadata.json" else given.read(name)
            archive.writestr(name, content)
    assert load_model(path).is_trained
