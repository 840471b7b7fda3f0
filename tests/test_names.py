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


def test_the_nearest_comes_first_and_three_are_enough():
    known = ["BCDNetC18", "BCDNetB18", "BCDNetB", "BCDNetA18", "BCDNetA"]
    assert did_you_mean("BCDNetB1", known).startswith("did you mean 'BCDNetB")
    assert did_you_mean("BCDNetB1", known).count(" or ") == 2


def test_what_leads_to_the_question_stands_only_before_one():
    assert did_you_mean("trian", ["train"], "; ") == "; did you mean 'train'?"
    assert did_you_mean("speed", ["train"], "; ") == ""
