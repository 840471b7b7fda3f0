import itertools
import os
import subprocess
import sys

import images
import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.data.augmentation import Augmentation, RandomResizedCrop
from larq_bcd.data.batches import evaluation_batches, open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError

# Images pass unchanged, so that their numbers can be read.
UNCHANGED = Preprocessing((8, 8), (0.0,) * 3, (1 / 255,) * 3, resize=None)
PLAIN = Augmentation()


def numbers(batch):
    return [images.number_of(np.rint(image)) for image in batch.numpy()]


def evaluated(source, batch_size=4, **options):
    batches = evaluation_batches(source, UNCHANGED, batch_size, **options)
    return [
        (number, int(label))
        for pictures, labels in batches
        for number, label in zip(numbers(pictures), labels, strict=True)
    ]


def trained(
    source, steps, batch_size=4, augmentation=PLAIN, preprocessing=UNCHANGED, **options
):
    options = {"seed": 0, **options}
    batches = training_batches(source, preprocessing, augmentation, batch_size, **options)
    return [(pictures.numpy(), labels.numpy()) for pictures, labels in batches.take(steps)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return images.write_prepared(folder, {"train": [5, 7, 3, 6], "test": [4], "none": [0]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    counts = {"train": {"cat": 9, "dog": 4, "emu": 1}, "val": {"cat": 2, "emu": 2}}
    return images.write_folder(tmp_path_factory.mktemp("folder"), counts)


@pytest.fixture(params=["prepared", "folder"])
def source(request, prepared, folder):
    if request.param == "folder":
        return open_source(str(folder), "train")
    return open_source("pictures", "train", prepared)


def test_a_prepared_split_has_its_examples_in_order(prepared):
    source = open_source("pictures:1.0.0", "train", prepared)
    assert (source.num_examples, source.class_names) == (21, ("cat", "dog"))
    assert evaluated(source) == [(number, number % 2) for number in range(21)]
    test = open_source("pictures", "test", prepared)
    assert evaluated(test) == [(number, number % 2) for number in range(21, 25)]


@pytest.mark.parametrize(
    ("part", "expected"), [("[6:]", range(6, 21)), ("[:50%]", range(10)), ("[-8:14]", [13])]
)
def test_a_part_of_a_prepared_split_has_these_alone(part, expected, prepared):
    source = open_source("pictures", f"train{part}", prepared)
    assert [number for number, _ in evaluated(source)] == list(expected)


def test_a_folder_has_the_images_of_its_classes(folder):
    train, validation = (open_source(str(folder), split) for split in ("train", "val"))
    # The classes are those of all splits, so that labels mean the same in each.
    assert train.class_names == validation.class_names == ("cat", "dog", "emu")
    labels = [0] * 9 + [1] * 4 + [2]
    assert sorted(evaluated(train)) == list(enumerate(labels))
    assert sorted(evaluated(validation)) == [(14, 0), (15, 0), (16, 2), (17, 2)]


def test_parts_of_a_folder_divide_each_class(tmp_path):
    folder = images.write_folder(tmp_path, {"train": {"cat": 40, "dog": 20, "emu": 1}})
    first = evaluated(open_source(str(folder), "train[:75%]"))
    rest = evaluated(open_source(str(folder), "train[75%:]"))
    assert sorted(number for number, _ in first + rest) == list(range(61))
    assert np.bincount([label for _, label in first]).tolist() == [30, 15, 1]
    # Not the first by name, which may be of one camera, one day ...
    assert sorted(number for number, label in first if label == 0) != list(range(30))


def test_a_folder_of_classes_is_the_split_train(tmp_path):
    images.write_folder(tmp_path, {".": {"cat": 3, "dog": 3}})
    source = open_source(str(tmp_path), "train")
    assert sorted(evaluated(source)) == list(enumerate([0, 0, 0, 1, 1, 1]))
    with pytest.raises(UserError, match=r"no split 'validation'.*Use a part of it"):
        open_source(str(tmp_path), "validation")


def test_hidden_and_other_files_are_not_images(tmp_path):
    folder = images.write_folder(tmp_path, {"train": {"cat": 3, "dog": 3}})
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "cat" / "notes.txt").write_text("")
    (folder / "train" / "cat" / "._00000.png").write_text("")
    (folder / "train" / "labels.csv").write_text("")
    source = open_source(str(folder), "train")
    assert (source.num_examples, source.class_names) == (6, ("cat", "dog"))


def test_names_of_files_may_be_in_any_encoding(tmp_path, caplog):
    folder = images.write_folder(tmp_path, {"train": {"cat": 200, "hund-\u00fc": 2}})
    place = os.fsencode(folder / "train" / "cat")
    os.rename(place + b"/00000.png", place + b"/\xe4\xff.png")
    with open(place + b"/\xfc.png", "wb") as file:
        file.write(b"broken")
    source = open_source(str(folder), "train")
    assert sorted(number for number, _ in evaluated(source, 32)) == list(range(202))
    assert "\ufffd.png" in caplog.text


def test_shards_of_an_evaluation_divide_its_examples(source):
    parts = [evaluated(source, shard=(i, 3)) for i in range(3)]
    assert sorted(itertools.chain(*parts)) == sorted(evaluated(source))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


EVERYTHING = {
    "augmentation": Augmentation(
        random_resized_crop=RandomResizedCrop(), horizontal_flip=True, mixup=0.3, cutmix=1.0
    ),
    "preprocessing": Preprocessing((8, 8)),
}


def assert_same(found, expected):
    for (pictures, labels), (others, theirs) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pictures, others)
        np.testing.assert_array_equal(labels, theirs)


def test_training_goes_on_at_any_step_as_if_it_had_never_stopped(source):
    whole = trained(source, 12, **EVERYTHING)
    assert_same(trained(source, 5, first_step=7, **EVERYTHING), whole[7:])


def test_shards_are_parts_of_the_batch_of_one_process(source):
    whole = trained(source, 6, 12, **EVERYTHING)
    parts = [trained(source, 6, 4, shard=(i, 3), **EVERYTHING) for i in range(3)]
    together = [
        tuple(map(np.concatenate, zip(*step, strict=True))) for step in zip(*parts, strict=True)
    ]
    assert_same(together, whole)


def test_every_epoch_has_every_image_in_another_order(source):
    count = source.num_examples
    seen = [
        number
        for pictures, _ in trained(source, count)
        for number in numbers(tf.constant(pictures))
    ]
    epochs = [seen[i * count : (i + 1) * count] for i in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    assert epochs[0] != epochs[1] != epochs[2]
    (first, _), *_ = trained(source, 1, seed=1)
    assert numbers(tf.constant(first)) != seen[:4]


def test_labels_belong_to_their_images(source):
    labels = dict(evaluated(source))
    for pictures, found in trained(source, 10):
        assert found.tolist() == [labels[number] for number in numbers(tf.constant(pictures))]


def test_labels_are_soft_when_images_are_mixed(source):
    batches = training_batches(source, UNCHANGED, Augmentation(mixup=1.0), 4, seed=0)
    assert batches.element_spec[1].shape == (4, source.num_classes)
    for _, labels in batches.take(5):
        np.testing.assert_allclose(tf.reduce_sum(labels, axis=1), 1, atol=1e-6)
    with pytest.raises(UserError, match="batch_size=3 is odd"):
        training_batches(source, UNCHANGED, Augmentation(mixup=1.0), 3, seed=0)


def test_shapes_are_static(source):
    pictures, labels = training_batches(source, UNCHANGED, PLAIN, 4, seed=0).element_spec
    assert (pictures.shape, labels.shape) == ((4, 8, 8, 3), (4,))
    pictures, _ = evaluation_batches(source, UNCHANGED, 4).element_spec
    assert pictures.shape == (None, 8, 8, 3)


BROKEN = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "no image": lambda content: b"<html>404</html>",
    "damaged": lambda content: content[:40] + bytes(20) + content[60:],
}


@pytest.fixture
def damaged(tmp_path):
    """240 images, of which those with the numbers 3 and 4, side by side, are broken."""
    folder = images.write_folder(tmp_path, {"train": {"cat": 240}})

    def damage(form, *victims):
        for number in victims or (3, 4):
            path = folder / "train" / "cat" / f"{number:05}.png"
            path.write_bytes(BROKEN[form](path.read_bytes()))
        return open_source(str(folder), "train")

    return damage


@pytest.mark.parametrize("form", BROKEN)
def test_broken_images_are_named_and_left_out_of_an_evaluation(form, damaged, caplog):
    source = damaged(form)
    found = [number for number, _ in evaluated(source, 16)]
    assert sorted(found) == [number for number in range(240) if number not in (3, 4)]
    assert sorted(path[-9:] for path in source.broken) == ["00003.png", "00004.png"]
    assert all(path in caplog.text for path in source.broken)


def test_a_broken_image_is_replaced_by_the_same_one_every_time(damaged):
    source = damaged("no image")
    epoch = trained(source, 30, 8)
    seen = [number for pictures, _ in epoch for number in numbers(tf.constant(pictures))]
    assert len(seen) == 240
    assert set(seen) == set(range(240)) - {3, 4}
    assert len(source.broken) == 2
    again = damaged("no image")
    assert_same(trained(again, 10, 8, first_step=20), epoch[20:])


@pytest.mark.parametrize("use", [evaluated, lambda source: trained(source, 60)])
def test_more_than_one_in_a_hundred_broken_images_are_an_error(use, damaged):
    source = damaged("empty", 3, 4, 5)
    with (
        pytest.raises(UserError, match=r"3 of the 240 images of .*more than 1%: .*\.png"),
        source.user_errors(),
    ):
        use(source)


def test_without_its_broken_images_a_folder_is_read_as_before(damaged, tmp_path):
    source = damaged("no image")
    before, evaluation = trained(source, 60, 8), evaluated(source, 16)
    removed = source.broken_files()
    assert sorted(removed) == ["cat/00003.png", "cat/00004.png"]
    for name in removed:
        (tmp_path / "train" / name).unlink()
    without = open_source(str(tmp_path), "train", removed=removed)
    assert (without.digest, without.num_examples) == (source.digest, 240)
    assert_same(trained(without, 60, 8), before)
    assert evaluated(without, 16) == evaluation
    assert not without.broken
    assert open_source(str(tmp_path), "train").digest != source.digest


def test_images_that_are_there_are_not_gone(damaged, tmp_path):
    source = damaged("no image")
    again = open_source(str(tmp_path), "train", removed=["cat/00003.png"])
    assert again.digest == source.digest
    assert not len(again.gone)


def test_a_file_that_is_gone_is_not_a_broken_image(tmp_path):
    folder = images.write_folder(tmp_path, {"train": {"cat": 4}})
    source = open_source(str(folder), "train")
    (folder / "train" / "cat" / "00002.png").unlink()
    with pytest.raises(tf.errors.OpError, match=r"00002\.png"), source.user_errors():
        evaluated(source)
    assert not source.broken


def test_a_record_file_that_is_cut_short_is_named(tmp_path):
    images.write_prepared(tmp_path, {"train": [5, 5]})
    path = tmp_path / "pictures" / "1.0.0" / "pictures-train.tfrecord-00001-of-00002"
    path.write_bytes(path.read_bytes()[:300])
    source = open_source("pictures", "train", tmp_path)
    with pytest.raises(UserError, match=r"00001-of-00002 is cut short"), source.user_errors():
        evaluated(source)
    path.unlink()
    with pytest.raises(UserError, match=r"not complete: .*00001-of-00002 is missing"):
        open_source("pictures", "train", tmp_path)


def test_only_the_records_of_a_shard_are_read(prepared, monkeypatch):
    source = open_source("pictures", "train", prepared)
    located = []
    locate = source.locate
    monkeypatch.setattr(
        source, "locate", lambda examples: located.append(examples) or locate(examples)
    )
    trained(source, 4, 3, shard=(1, 2))
    wanted, total = located[0], 21
    assert len(wanted) == pytest.approx(total / 2, abs=3)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("pictures", "trian", r"no split 'trian': it has .*did you mean 'train'\?"),
        ("pictures", "none", r"split 'none' of 'pictures' is empty"),
        ("pictures", "train[:x%]", r"'train\[:x%\]' is not supported: pass a name"),
        ("pictures", "train[9:3]", r"is empty"),
        ("pictures:2.0.0", "train", r"has the configurations or versions \['1\.0\.0'\]"),
        ("cifra10", "train", r"neither a folder, nor known .* did you mean 'cifar10'\?"),
        ("mnist", "train", r"'mnist' is not prepared in .*tfds build mnist"),
        ("a b", "train", r"'a b' cannot be opened"),
    ],
)
def test_prepared_data_that_is_not_there_is_explained(name, split, message, prepared):
    with pytest.raises(UserError, match=message):
        open_source(name, split, prepared)


def test_a_folder_that_is_not_a_data_set_is_explained(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    images.write_folder(tmp_path / "holey", {"train": {"cat": 2, "dog": 0}})
    images.write_folder(tmp_path / "bare", {".": {"": 3}})
    (tmp_path / "file").touch()
    for name, split, message in (
        (tmp_path / "nowhere", "train", r"nowhere' does not exist"),
        (tmp_path / "file", "train", r"file' is not a folder"),
        (tmp_path / "empty", "train", r"has no folders inside: it needs one for each class"),
        (tmp_path / "bare", "train", r"has no folders inside"),
        (tmp_path / "holey", "train", r"class folder '.*dog' holds no images"),
        (folder, "validation", r"no split 'validation'.*did you mean 'val'\?"),
        (folder, "val[:1%]", r"'val\[:1%\]' of .* is empty: 'val' has 4 images"),
    ):
        with pytest.raises(UserError, match=message):
            open_source(str(name), split)
    with pytest.raises(UserError, match=r"data_dir='x' .* leave data_dir out"):
        open_source(str(folder), "train", "x")


def test_data_without_images_and_labels_is_refused(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
    images.write_records(tmp_path, "words", features, {"train": [[{"text": "a"}]]})
    with pytest.raises(UserError, match=r"has the features \['text'\]: choose one of images"):
        open_source("words", "train", tmp_path)
    metadata = tmp_path / "words" / "1.0.0" / "dataset_info.json"
    metadata.write_text(metadata.read_text().replace('"tfrecord"', '"array_record"'))
    with pytest.raises(UserError, match=r"prepared as 'array_record'.*--file_format=tfrecord"):
        open_source("words", "train", tmp_path)


LEFT_HALF_READ = """
import sys
from larq_bcd.data.augmentation import Augmentation
from larq_bcd.data.batches import open_source, training_batches
from larq_bcd.data.preprocessing import Preprocessing

source = open_source(sys.argv[1], "train")
large = Preprocessing((512, 512), resize=None)
batches = iter(training_batches(source, large, Augmentation(), 16, seed=0))
for _ in range(3):
    next(batches)
"""


def test_a_process_that_leaves_its_pipeline_half_read_ends(tmp_path):
    folder = images.write_folder(tmp_path, {"train": {"cat": 200, "dog": 200}})
    command = [sys.executable, "-c", LEFT_HALF_READ, str(folder)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
