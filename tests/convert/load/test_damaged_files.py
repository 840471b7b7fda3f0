"""Random and truncated models: an error of one line, and nothing else."""

import os

import h5py
import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.commands.main import lce_convert
from larq_bcd.convert import ConversionError, load_model

COPIES = 40  # of each kind of file, each damaged elsewhere


@pytest.fixture(scope="module")
def contents(small, tmp_path_factory):
    found = {}
    for suffix in (".keras", ".h5"):
        path = tmp_path_factory.mktemp("sound") / f"small{suffix}"
        small.save(path)
        found[suffix] = path.read_bytes()
    return found


def damaged(content, rng):
    match rng.integers(3):
        case 0:  # truncated
            return content[: int(rng.integers(len(content)))]
        case 1:  # a few bytes are others, in the head of the file or anywhere
            changed = bytearray(content)
            reach = int(rng.choice([512, 4096, len(content)]))
            for place in rng.integers(
                0, min(reach, len(content)), size=int(rng.integers(1, 9))
            ):
                changed[place] = int(rng.integers(256))
            return bytes(changed)
        case _:  # noise behind the bytes that tell what it is
            return content[:8] + rng.bytes(int(rng.integers(2000)))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_damaged_model_is_refused_in_words_or_read(contents, suffix, tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / f"model{suffix}"
    messages = []
    for _ in range(COPIES):
        path.write_bytes(damaged(contents[suffix], rng))
        try:
            load_model(path)
        except ConversionError as error:
            messages.append(str(error))
    assert len(messages) > COPIES // 2
    assert all(str(path) in message for message in messages)


def test_the_command_says_so_in_one_line_and_writes_nothing(contents, tmp_path, capfd):
    path, output = tmp_path / "model.h5", tmp_path / "out.tflite"
    path.write_bytes(contents[".h5"][:3000])
    assert lce_convert([str(path), "-o", str(output)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert os.listdir(tmp_path) == ["model.h5"]


@pytest.mark.parametrize(
    ("module", "function"), [(h5py, "File"), (tf.keras.models, "model_from_config")]
)
def test_memory_that_does_not_suffice_is_not_called_damage(
    contents, tmp_path, monkeypatch, module, function
):
    path = tmp_path / "model.h5"
    path.write_bytes(contents[".h5"])
    monkeypatch.setattr(module, function, out_of_memory)
    with pytest.raises(ConversionError, match=r"model\.h5 takes more memory than there is"):
        load_model(path)


def out_of_memory(*arguments, **options):
    raise MemoryError
