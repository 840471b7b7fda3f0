import resource
import shutil
import signal

import pytest
import tensorflow as tf

from larq_bcd.training.checkpoints import CheckpointError, Checkpoints


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


def test_what_a_killed_process_left_unfinished_is_not_a_checkpoint(checkpoints):
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
