import os
import stat

import pytest

from larq_bcd.convert import ConversionError, write_atomically
from larq_bcd.convert.write import check_writable


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
    with pytest.raises(ConversionError, match="--force"):
        check_writable(path, force=False)
    with pytest.raises(ConversionError, match="--force"):
        write_atomically(path, b"new", force=False)
    assert path.read_bytes() == b"old"
    check_writable(path, force=True)
    write_atomically(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.tflite"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("function", ["fsync", "replace", "chmod"])
def test_whatever_ends_the_writing_leaves_nothing_behind(
    tmp_path, monkeypatch, error, function
):
    def fail(*_):
        raise error

    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises((KeyboardInterrupt, ConversionError)):
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
        with pytest.raises(ConversionError, match=words):
            check_writable(path, force=False)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_refuses_files_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConversionError, match=r"cannot be written to .Permission denied"):
        check_writable(tmp_path / "model.tflite", force=False)
