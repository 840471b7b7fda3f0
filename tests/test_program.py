import sys

import pytest

from larq_bcd import _program


@pytest.mark.parametrize(
    ("argv", "original", "at_once"),
    [
        (
            ["/usr/bin/lce_convert", "a.keras"],
            ["python", "/usr/bin/lce_convert", "a.keras"],
            False,
        ),
        (["larq-bcd"], ["python", "larq-bcd"], False),
        (["-m", "train"], ["python", "-X", "dev", "-m", "larq_bcd.commands", "train"], False),
        (["-m", "train"], ["python", "-mlarq_bcd.commands", "train"], False),
        (["-m", "a"], ["python", "-m", "larq_bcd.commands.mine", "a"], True),
        (["-m"], ["python", "-m", "mine.larq_bcd"], True),
        (["train.py", "lce_convert"], ["python", "train.py", "lce_convert"], True),
        (["lce_convert.py"], ["python", "lce_convert.py"], True),
        (["-c"], ["python", "-c", "import larq_bcd"], True),
        ([""], ["python"], True),
        ([], ["python"], True),
    ],
)
def test_keras_waits_for_the_package_s_own_commands_alone(monkeypatch, argv, original, at_once):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert _program.needs_keras_at_once()  # TensorFlow is there: it may have chosen its Keras
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert _program.needs_keras_at_once() == at_once
