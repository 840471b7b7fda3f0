import images
import pytest

from larq_bcd.errors import UserError
from larq_bcd.training.data import open_data
from larq_bcd.training.recipe import Data


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"train": {"Cat": 2, "dog": 2}, "test": {"cat": 2, "dog": 2}},
            "the split 'train' of .* has no class 'cat', which another split has: did you mean "
            "'Cat'",
        ),
        (
            {"train": {"cat": 2, "dog": 2}, "test": {"cat": 2}},
            r"the split 'test' of .* has no class 'dog', which another split has\.",
        ),
        (
            {"train": {"cat": 2}, "test": {"cat": 2}, "unsorted": {"emu": 2}},
            r"the split 'train' of .* has no class 'emu'",
        ),
    ],
)
def test_a_class_that_only_one_split_has_is_an_error(counts, message, tmp_path):
    images.write_folder(tmp_path, counts)
    with pytest.raises(UserError, match=message):
        open_data(Data(name=str(tmp_path), train="train", validation="test"))


def test_parts_of_a_split_have_its_classes(tmp_path):
    images.write_folder(tmp_path, {".": {"cat": 20, "emu": 1}})
    data = Data(name=str(tmp_path), train="train[:50%]", validation="train[50%:]")
    assert [source.num_classes for source in open_data(data).values()] == [2, 2]
