"""Image data sets made in the test: a folder, and one of tensorflow_datasets."""

import io
import itertools

import numpy as np
import tensorflow as tf
from PIL import Image


def random_image(rng, height=24, width=24, channels=3):
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, form, **options)
    return file.getvalue()


def numbered(number, size=8):
    """An image in which every pixel is the number: red its low byte, green its high byte."""
    return np.full((size, size, 3), (number % 256, number // 256, 7), np.uint8)


def number_of(image):
    """The number of a `numbered` image, after any flips and crops."""
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])


def write_folder(folder, counts, suffix=".png"):
    """FOLDER/SPLIT/CLASS/NUMBER.png of numbered images, from {split: {class: count}}."""
    number = 0
    for split, classes in counts.items():
        for name, count in classes.items():
            (folder / split / name).mkdir(parents=True)
            for _ in range(count):
                path = folder / split / name / f"{number:05}{suffix}"
                path.write_bytes(encoded(numbered(number)))
                number += 1
    return folder


def write_records(folder, name, features, splits, supervised_keys=None):
    """A data set of tensorflow_datasets, from {split: [[example, ...] for each file]}."""
    import tensorflow_datasets as tfds

    place = folder / name / "1.0.0"
    place.mkdir(parents=True)
    infos = []
    for split, files in splits.items():
        for shard, examples in enumerate(files):
            file = f"{name}-{split}.tfrecord-{shard:05}-of-{len(files):05}"
            with tf.io.TFRecordWriter(str(place / file)) as writer:
                for example in examples:
                    writer.write(features.serialize_example(example))
        template = tfds.core.ShardedFileTemplate(
            dataset_name=name, data_dir=place, split=split, filetype_suffix="tfrecord"
        )
        lengths = [len(examples) for examples in files]
        infos.append(
            tfds.core.SplitInfo(
                name=split, shard_lengths=lengths, num_bytes=0, filename_template=template
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=place, features=features, split_infos=infos, supervised_keys=supervised_keys
    )


def write_prepared(folder, shards, classes=("cat", "dog"), name="pictures"):
    """A data set of tensorflow_datasets of numbered images, from {split: [count, ...]}."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(classes)),
        }
    )
    numbers = itertools.count()
    splits = {
        split: [
            [
                {"image": numbered(number), "label": number % len(classes)}
                for number in itertools.islice(numbers, count)
            ]
            for count in counts
        ]
        for split, counts in shards.items()
    }
    write_records(folder, name, features, splits, ("image", "label"))
    return folder
