import dataclasses
import json

import numpy as np
import pytest

from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError

IMAGES = Preprocessing((16, 16), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 20, "bicubic")


@pytest.mark.parametrize("encoding", ["float32", "uint8", "int8"])
def test_decoding_gives_what_the_network_computes_with(encoding):
    images = dataclasses.replace(IMAGES, encoding=encoding)
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    expected = (pixels / 255 - IMAGES.mean) / IMAGES.std
    encoded = images.encoded(pixels)
    assert encoded.dtype == encoding
    np.testing.assert_allclose(images.decoded(encoded), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(images.pixels(images.decoded(encoded)), pixels)
    black = {"float32": images.normalized(pixels).flat[0], "uint8": 0, "int8": -128}[encoding]
    assert encoded.flat[0] == black


def test_what_is_not_a_pixel_becomes_black_or_white():
    assert IMAGES.pixels(np.array([[-9.0] * 3, [9.0] * 3])).tolist() == [[0] * 3, [255] * 3]


def test_plain_data_gives_it_back():
    assert Preprocessing.from_plain(json.loads(json.dumps(IMAGES.to_plain()))) == IMAGES


@pytest.mark.parametrize(
    "change", [{"size": 3}, {"std": 0}, {"std": [0.0] * 3}, {"mean": "abc"}, {"resize": "x"}]
)
def test_other_plain_data_are_refused(change):
    with pytest.raises(ValueError, match="not supported"):
        Preprocessing.from_plain(IMAGES.to_plain() | change)


def test_words_say_all_of_it():
    assert str(IMAGES) == (
        "16x16 RGB, the center of an image whose shorter side is resized to 20, bicubic; mean "
        "0.5, 0.4, 0.3, std 0.2, 0.25, 0.3 of values in [0, 1]"
    )
    gray = Preprocessing((8, 9), (0.5,), (0.25,), None, encoding="uint8")
    assert str(gray).startswith("9x8 grayscale, the whole image resized, bilinear; uint8")


KNOWN = Description(IMAGES, origin="saved in the model")


def test_options_take_the_place_of_what_is_known():
    found = KNOWN.with_preprocessing((16, 16, 3), std=[0.5], resize=0)
    expected = dataclasses.replace(IMAGES, std=(0.5,) * 3, resize=None)
    assert found.preprocessing == expected
    assert found.origin == "--std and --resize, the rest saved in the model"
    assert KNOWN.with_preprocessing((16, 16, 3)) is KNOWN


def test_options_are_enough_where_nothing_is_known():
    found = Description().with_preprocessing((8, 8, 1), mean=[0.5], std=[0.25])
    assert found.preprocessing == Preprocessing((8, 8), (0.5,), (0.25,), None)
    assert found.origin == "--mean and --std"


@pytest.mark.parametrize(
    ("known", "options", "message"),
    [
        (Description(), {"mean": [0.5]}, "give --std too"),
        (Description(), {"resize": 32}, "give --mean and --std too"),
        (KNOWN, {"mean": [1.0, 2.0]}, "--mean has 2 values, but the model's input has 3"),
        (KNOWN, {"std": [1.0, 2.0]}, "give 1 or 3 values"),
        (KNOWN, {"std": [0.0]}, "--std=.* is not supported"),
        (KNOWN, {"resize": 4}, "--resize=4 is not supported: pass at least 16"),
    ],
)
def test_options_that_do_not_fit_are_refused(known, options, message):
    with pytest.raises(UserError, match=message):
        known.with_preprocessing((16, 16, 3), **options)


def test_lines_say_what_is_known_and_from_where():
    assert Description().lines() == ["preprocessing: not known"]
    known = Description(IMAGES, tuple("abcd"), "saved in the model", "--labels names.txt")
    preprocessing, classes = known.lines()
    assert preprocessing == f"preprocessing: {IMAGES} (saved in the model)"
    assert classes == "classes: 4, a, b, c, ... (--labels names.txt)"
