from pathlib import Path

import images
import numpy as np
import pytest

from larq_bcd.data import decoded
from larq_bcd.data.augmentation import Augmentation, ColorJitter, RandomResizedCrop
from larq_bcd.data.batches import open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

SMALL = Preprocessing((6, 8), resize=None)
AUGMENTATIONS = {
    "nothing": Augmentation(),
    "geometry": Augmentation(pad_crop=2, horizontal_flip=True, cutout=3),
    "color": Augmentation(color_jitter=ColorJitter(0.2, 0.3, 0.1, 0.1)),
    "mixup": Augmentation(mixup=0.8, horizontal_flip=True),
    "mixup and cutmix": Augmentation(mixup=1.0, cutmix=1.0),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return images.write_prepared(folder, {"train": [5, 7, 3, 6]})


@pytest.fixture(params=["prepared", "folder"])
def source(request, prepared, tmp_path):
    if request.param == "prepared":
        return open_source("pictures", "train[10%:]", prepared)
    return open_source(str(images.write_folder(tmp_path, {"train": {"a": 9, "b": 5}})), "train")


def assert_same(held, source, augmentation, **where):
    expected = training_batches(source, SMALL, augmentation, 4, **where)
    found = held.training_batches(augmentation, 4, **where)
    assert found.element_spec == expected.element_spec
    for ours, theirs in zip(found.take(6), expected.take(6), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_held_images_give_the_same_batches_to_the_last_bit(source, augmentation):
    held = decoded.Decoded(source, SMALL)
    assert_same(held, source, augmentation, seed=3, first_step=5, shard=(1, 2))


def test_gray_images_are_held(source):
    gray = Preprocessing((6, 8), (0.4,), (0.3,), resize=None)
    found, _ = next(iter(decoded.Decoded(source, gray).training_batches(
        Augmentation(), 4, seed=0)))  # fmt: skip
    expected, _ = next(iter(training_batches(source, gray, Augmentation(), 4, seed=0)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("broken", [0, 119])
def test_in_the_place_of_a_broken_image_is_the_same_one(tmp_path, broken):
    folder = images.write_folder(tmp_path, {"train": {"a": 60, "b": 60}})
    source = open_source(str(folder), "train")
    (path,), _, _ = source.locate(np.array([broken]))
    Path(path.decode()).write_bytes(b"not an image")
    held = decoded.Decoded(source, SMALL)
    assert list(source.broken) == [path.decode()]
    assert "not an image in one of" in source.broken[path.decode()]
    found = held.training_batches(Augmentation(), 8, seed=0).take(15)
    expected = training_batches(source, SMALL, Augmentation(), 8, seed=0).take(15)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)


def test_more_than_one_percent_of_broken_images_is_an_error(tmp_path):
    folder = images.write_folder(tmp_path, {"train": {"a": 60, "b": 60}})
    source = open_source(str(folder), "train")
    for path in source.locate(np.array([3, 4]))[0]:
        Path(path.decode()).write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"2 of the 120 images .* cannot be decoded"):
        decoded.Decoded(source, SMALL)


def test_an_odd_batch_of_pairs_is_refused(source):
    with pytest.raises(UserError, match="batch_size=3 is odd"):
        decoded.Decoded(source, SMALL).training_batches(Augmentation(mixup=1.0), 3, seed=0)


def test_large_data_sets_and_random_crops_are_not_held(source):
    assert decoded.suits(source, SMALL, [Augmentation(pad_crop=2)])
    crop = Augmentation(random_resized_crop=RandomResizedCrop())
    assert not decoded.suits(source, SMALL, [Augmentation(), crop])
    assert not decoded.suits(source, Preprocessing((8000, 8000), resize=None), [])
