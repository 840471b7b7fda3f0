import pytest

from larq_bcd._names import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "question"),
    [
        ("trian", ["test", "train"], "did you mean 'train'?"),
        ("bcdnet_b", ["ReActNetA", "BCDNetB"], "did you mean 'BCDNetB'?"),
        ("val", ["train", "validation"], "did you mean 'validation'?"),
        ("validation", ["train", "val"], "did you mean 'val'?"),
        ("--ouput", ["--mean", "--output"], "did you mean '--output'?"),
        ("speed", ["gains", "zeros"], ""),
        ("x", [], ""),
        ("", ["a"], ""),
        ("???", ["a", ""], ""),
    ],
)
def test_what_was_meant(name, known, question):
    assert did_you_mean(name, known) == question


def test_only_the_nearest_are_named_and_three_are_enough():
    known = ["cifar10_n", "cifar10", "cifar100"]
    assert did_you_mean("cifra10", known) == "did you mean 'cifar10'?"
    known = [f"BCDNet{letter}" for letter in "ABCDE"]
    assert did_you_mean("BCDNet", known).count(" or ") == 2


def test_what_leads_to_the_question_stands_only_before_one():
    assert did_you_mean("trian", ["train"], "; ") == "; did you mean 'train'?"
    assert did_you_mean("speed", ["train"], "; ") == ""
