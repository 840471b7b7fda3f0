import contextlib
import resource
import shutil
import signal

import h5py
import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.training.checkpoints import CheckpointError, Checkpoints, replacing


@pytest.fixture
def reports():
    return []


@pytest.fixture
def checkpoints(tmp_path, reports):
    return Checkpoints(tmp_path / "checkpoints", keep=2, report=reports.append)


def save(checkpoints, step, size=4):
    variable = tf.Variable(tf.fill([size], float(step)))
    checkpoints.save(step, tf.train.Checkpoint(variable=variable), {"made": step})


def newest(checkpoints):
    step, prefix, state = next(checkpoints.valid())
    variable = tf.Variable(tf.zeros([4]))
    tf.train.Checkpoint(variable=variable).read(prefix).assert_consumed()
    assert state == {"made": step}
    return variable.numpy().tolist()


def test_the_newest_is_read_and_the_last_few_are_kept(checkpoints):
    for step in (5, 90, 1000):
        save(checkpoints, step)
    assert newest(checkpoints) == [1000.0] * 4
    assert [step for step, _, _ in checkpoints.valid()] == [1000, 90]


@pytest.mark.parametrize("damage", ["truncated", "missing", "no sums", "changed"])
def test_a_damaged_one_is_reported_and_the_one_before_is_used(checkpoints, reports, damage):
    save(checkpoints, 1)
    save(checkpoints, 2)
    folder = checkpoints.folder / "step-000000002"
    data = next(folder.glob("variables.data*"))
    if damage == "truncated":
        data.write_bytes(data.read_bytes()[:-3])
    elif damage == "missing":
        data.unlink()
    elif damage == "no sums":
        (folder / "sha256.json").unlink()
    else:
        (folder / "state.json").write_text("{}")
    assert newest(checkpoints) == [1.0] * 4
    (report,) = reports
    assert "step-000000002 is damaged" in report
    save(checkpoints, 2)
    assert newest(checkpoints) == [2.0] * 4


def test_what_a_killed_process_left_unfinished_is_no_checkpoint(checkpoints):
    save(checkpoints, 1)
    folder = checkpoints.folder
    shutil.copytree(folder / "step-000000001", folder / ".writing-000000002")
    assert [step for step, _, _ in checkpoints.valid()] == [1]
    save(checkpoints, 2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "step-000000001",
        "step-000000002",
    ]


def test_a_disk_without_room_is_an_error_that_says_where_the_run_goes_on(checkpoints):
    save(checkpoints, 7)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
        with pytest.raises(CheckpointError, match=r"step 8 could not.*goes on from step 7\."):
            save(checkpoints, 8, size=1 << 16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in checkpoints.folder.iterdir()] == ["step-000000007"]
    assert newest(checkpoints) == [7.0] * 4


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
    with pytest.raises(CheckpointError, match=message), replacing(tmp_path / "a.h5") as path:
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_what_has_no_room_is_not_begun(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with (
        pytest.raises(CheckpointError, match=r"\(No space left on device\): make room"),
        replacing(tmp_path / "a.h5", 2 * free),
    ):
        pytest.fail("there is no room")
    with replacing(tmp_path / "a.txt", free // 2) as path:
        path.write_text("a")


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CheckpointError, match=r"file/a\.txt could not .*: see to it"),
        replacing(tmp_path / "file" / "a.txt"),
    ):
        pytest.fail("there is no place to write to")
