import contextlib
import json
import os
import shutil
import stat

import h5py
import numpy as np
import pytest

from larq_bcd._files import FileError, check_writable, replacing, write_atomically, write_json


def test_a_file_is_written_whole_and_readable(tmp_path):
    path = tmp_path / "model.tflite"
    write_atomically(path, b"content", force=False)
    assert path.read_bytes() == b"content"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_an_existing_file_is_replaced_with_force_only(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match="--force"):
        check_writable(path, force=False)
    with pytest.raises(FileError, match="--force"):
        write_atomically(path, b"new", force=False)
    assert path.read_bytes() == b"old"
    check_writable(path, force=True)
    write_atomically(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.tflite"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_whatever_ends_the_writing_leaves_nothing_behind(
    tmp_path, monkeypatch, error, function
):
    def fail(*_):
        raise error

    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises((KeyboardInterrupt, FileError)):
        write_atomically(path, b"new", force=True)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    for path, words in [
        (tmp_path, "is a folder"),
        (tmp_path / "missing" / "model.tflite", "does not exist"),
        (tmp_path / "file" / "model.tflite", "does not exist"),
    ]:
        with pytest.raises(FileError, match=words):
            check_writable(path, force=False)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_refuses_files_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(FileError, match=r"cannot be written to .Permission denied"):
        check_writable(tmp_path / "model.tflite", force=False)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with contextlib.suppress(KeyError), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "step"
    for text in ("old", "new"):
        with contextlib.suppress(KeyError), replacing(path) as temporary:
            temporary.mkdir()
            (temporary / "half.txt").write_text("half")
            raise KeyError
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / f"{text}.txt").write_text(text)
        assert [file.name for file in path.iterdir()] == [f"{text}.txt"]
        assert list(tmp_path.iterdir()) == [path]


def test_a_file_takes_the_name_of_no_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(FileError, match="could not be written"):
        write_atomically(tmp_path / "runs", b"content", force=True)
    assert (tmp_path / "runs").is_dir()


def written_to_a_full_disk(path):
    path.symlink_to("/dev/full")
    with h5py.File(path, "w") as file:
        file["weights"] = np.ones(1 << 16)


def filled_on_the_way(path):
    """What h5py raised on a disk that was full when the file was closed."""
    raise RuntimeError("flush failed (errno = 28, error message = 'No space left on device')")


@pytest.mark.parametrize("write", [written_to_a_full_disk, filled_on_the_way])
def test_a_disk_that_fills_up_under_h5py_is_an_error_that_says_so(write, tmp_path):
    message = r"\(No space left on device\): make room"
    with pytest.raises(FileError, match=message), replacing(tmp_path / "a.h5") as path:
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_room_is_not_begun(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with (
        pytest.raises(FileError, match=r"\(No space left on device\): make room"),
        replacing(tmp_path / "a.h5", 2 * free),
    ):
        pytest.fail("there is no room")
    with replacing(tmp_path / "a.txt", free // 2) as path:
        path.write_text("a")


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FileError, match=r"file/a\.txt could not .*: see to it"),
        replacing(tmp_path / "file" / "a.txt"),
    ):
        pytest.fail("there is no place to write to")


def test_json_has_no_numbers_that_are_not_finite(tmp_path):
    content = {"loss": float("nan"), "steps": [1, (2.5, float("-inf"))], "name": None}
    write_json(tmp_path / "figures.json", content)

    def refuse(name):
        raise AssertionError(f"{name} is not valid JSON")

    found = json.loads((tmp_path / "figures.json").read_text(), parse_constant=refuse)
    assert found == {"loss": "nan", "steps": [1, [2.5, "-inf"]], "name": None}
    assert float(found["steps"][1][1]) == float("-inf")
