from tensorflow_datasets.datasets.siscore.labels import IMAGENET_LABELS_LIST

from larq_bcd.data import imagenet


def test_every_class_of_imagenet_has_one_of_its_names_and_no_other_has_it():
    names = imagenet.class_names()
    assert len(names) == len(set(names)) == 1000
    for name, synonyms in zip(names, IMAGENET_LABELS_LIST, strict=True):
        assert name in synonyms.split(", ")
