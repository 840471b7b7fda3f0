import colorsys
import itertools

import images
import numpy as np
import pydantic
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from larq_bcd.data import mixing, transforms
from larq_bcd.data.augmentation import Augmentation, ColorJitter, RandomResizedCrop
from larq_bcd.data.preprocessing import Preprocessing

PLAIN = {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}


def smooth_image(rng, height, width):
    """Colors that change slowly, as in photographs: 8x8 random colors, enlarged."""
    small = Image.fromarray(images.random_image(rng, 8, 8))
    return np.asarray(small.resize((width, height), Image.BICUBIC))


def decoded(contents, channels=3):
    return transforms.decode(tf.constant(contents), channels).numpy()


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF"])
def test_decodes_every_lossless_format(form, rng):
    image = images.random_image(rng, 9, 13) // 64 * 64
    image[..., 1:] = image[..., :1]  # few enough colors for a GIF
    np.testing.assert_array_equal(decoded(images.encoded(image, form)), image)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpegs_of_every_color_space_are_those_of_pillow(mode, rng, tmp_path):
    picture = Image.fromarray(smooth_image(rng, 48, 40)).convert(mode)
    picture.save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB")).astype(int)
    found = decoded((tmp_path / "a.jpg").read_bytes())
    # Pillow and TensorFlow turn CMYK into RGB in their own ways.
    assert np.abs(found - expected).max() <= (3 if mode == "CMYK" else 1)


def test_other_pixels_become_rgb_of_8_bits(rng, tmp_path):
    gray = images.random_image(rng, 7, 5, 1)
    rgb = np.repeat(gray, 3, axis=2)
    wide = gray[..., 0].astype(np.uint16) * 256 + 200
    palette = Image.fromarray(gray[..., 0]).convert("P")
    transparent = np.concatenate([rgb, images.random_image(rng, 7, 5, 1)], axis=2)
    for name, picture in {
        "gray": Image.fromarray(gray[..., 0]),
        "16 bits": Image.fromarray(wide),
        "palette": palette,
        "transparent": Image.fromarray(transparent),
    }.items():
        picture.save(tmp_path / "a.png")
        contents = (tmp_path / "a.png").read_bytes()
        np.testing.assert_array_equal(decoded(contents), rgb, err_msg=name)
    np.testing.assert_array_equal(decoded(images.encoded(gray), 1), gray)


def test_of_an_animation_the_first_frame_is_taken(rng, tmp_path):
    frames = [Image.fromarray(np.full((6, 6, 3), value, np.uint8)) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded((tmp_path / "a.gif").read_bytes()), 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(orientation, rng, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = orientation
    picture = Image.fromarray(smooth_image(rng, 16, 24))
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    expected = ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
    found = decoded((tmp_path / "a.jpg").read_bytes())
    assert found.shape == np.asarray(expected).shape
    assert np.abs(found - np.asarray(expected).astype(int)).max() <= 1


def test_notes_of_a_camera_that_are_damaged_change_nothing(rng, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(smooth_image(rng, 16, 24))
    picture.save(tmp_path / "a.jpg", exif=exif)
    contents = bytearray((tmp_path / "a.jpg").read_bytes())
    place = contents.index(b"Exif\0\0") + 6
    contents[place + 4 : place + 8] = b"\xff" * 4
    assert decoded(bytes(contents)).shape == (16, 24, 3)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (64, 64)])
def test_evaluation_is_pillows_resize_and_center_crop(height, width, rng):
    image = smooth_image(rng, height, width)
    preprocessing = Preprocessing((56, 56), resize=64, **PLAIN)
    found = transforms.evaluation_image(tf.constant(images.encoded(image)), preprocessing)
    scale = 64 / min(height, width)
    size = int(width * scale + 1e-9), int(height * scale + 1e-9)
    resized = Image.fromarray(image).resize(size, Image.BILINEAR)
    # torchvision's CenterCrop
    left, top = round((size[0] - 56) / 2), round((size[1] - 56) / 2)
    expected = np.asarray(resized.crop((left, top, left + 56, top + 56))).astype(int)
    assert np.abs(found.numpy() - expected).max() <= 1.5


def test_images_are_normalized(rng):
    image = images.random_image(rng, 8, 8)
    preprocessing = Preprocessing((8, 8), resize=None)
    found = transforms.evaluation_image(tf.constant(images.encoded(image)), preprocessing)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def augmented(image, augmentation, positions, seed=0, **preprocessing):
    preprocessing = Preprocessing(
        **{"image_size": (8, 8), "resize": None, **PLAIN, **preprocessing}
    )
    contents = tf.constant(images.encoded(image))

    @tf.function(autograph=False)
    def at(position):
        return transforms.training_image(contents, position, seed, preprocessing, augmentation)

    return np.stack([at(tf.constant(position, tf.int64)) for position in positions])


def test_augmentation_is_a_function_of_seed_and_position(rng):
    image = images.random_image(rng, 40, 40)
    everything = Augmentation(
        random_resized_crop=RandomResizedCrop(),
        horizontal_flip=True,
        color_jitter=ColorJitter(0.2, 0.2, 0.2, 0.1),
        cutout=3,
    )
    first = augmented(image, everything, range(6))
    np.testing.assert_array_equal(augmented(image, everything, range(5, -1, -1))[::-1], first)
    others = (
        augmented(image, everything, range(6, 12)),
        augmented(image, everything, range(6), 1),
    )
    for a, b in itertools.combinations([*first, *others[0], *others[1]], 2):
        assert np.abs(a - b).max() > 1


def test_every_other_image_is_mirrored(rng):
    image = images.random_image(rng, 8, 8)
    found = augmented(image, Augmentation(horizontal_flip=True), range(400))
    mirrored = np.array([np.array_equal(view, image[:, ::-1]) for view in found])
    plain = np.array([np.array_equal(view, image) for view in found])
    assert (mirrored | plain).all()
    assert 150 < mirrored.sum() < 250


def test_pad_crop_takes_every_part_of_the_padded_image(rng):
    image = images.random_image(rng, 8, 8)
    mean = np.array([0.2, 0.4, 0.6])
    found = augmented(image, Augmentation(pad_crop=1), range(200), mean=tuple(mean))
    padded = np.pad(image - 255 * mean, [(1, 1), (1, 1), (0, 0)])
    parts = [padded[y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    counts = [sum(np.allclose(view, part, atol=1e-3) for view in found) for part in parts]
    assert sum(counts) == 200
    assert min(counts) > 5


def test_cutout_blanks_a_square_with_the_mean(rng):
    image = images.random_image(rng, 8, 8) // 2 + 100
    found = augmented(image, Augmentation(cutout=4), range(300), mean=(0.1, 0.1, 0.1))
    blank = (found == 0).all(axis=-1)
    np.testing.assert_allclose(
        found[~blank], (image - 25.5)[None].repeat(300, 0)[~blank], atol=1e-3
    )
    sizes = set()
    for square in blank:
        rows, columns = np.flatnonzero(square.any(1)), np.flatnonzero(square.any(0))
        assert square[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        sizes |= {(len(rows), len(columns))}
    # Around any pixel, so that the border cuts some off.
    assert {size for size, _ in sizes} == {size for _, size in sizes} == {2, 3, 4}


sizes = st.tuples(st.integers(1, 700), st.integers(1, 700))


@given(sizes, st.integers(0, 10**6), st.sampled_from([(0.08, 1.0), (0.5, 0.6), (1.0, 1.0)]))
def test_random_part_is_inside_the_image_and_of_the_area_and_ratio_asked_for(size, seed, scale):
    crop = RandomResizedCrop(scale)
    draws = np.random.default_rng(seed).random(40, np.float32)
    corner, part = transforms.crop_window(tf.constant(size), crop, tf.constant(draws))
    (top, left), (height, width) = corner.numpy(), part.numpy()
    assert min(top, left) >= 0
    assert min(height, width) >= 1
    assert top + height <= size[0]
    assert left + width <= size[1]
    expected = torchvision_part(size, crop, draws)
    assert abs(height - expected[0]) <= 1
    assert abs(width - expected[1]) <= 1


def torchvision_part(size, crop, draws):
    """`RandomResizedCrop.get_params`, spelled with the same draws."""
    areas, ratios, _, _ = draws.reshape(4, 10).astype(np.float64)
    for area, ratio in zip(areas, ratios, strict=True):
        target = size[0] * size[1] * (crop.scale[0] + area * (crop.scale[1] - crop.scale[0]))
        low, high = np.log(crop.ratio)
        ratio = np.exp(low + ratio * (high - low))
        width, height = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
        if 0 < width <= size[1] and 0 < height <= size[0]:
            return height, width
    height, width = size
    if width / height < crop.ratio[0]:
        height = round(width / crop.ratio[0])
    elif width / height > crop.ratio[1]:
        width = round(height * crop.ratio[1])
    return max(height, 1), max(width, 1)


def test_random_resized_crop_is_the_resized_part(rng):
    image = smooth_image(rng, 60, 80)
    crop = RandomResizedCrop((0.1, 0.5))
    (found,) = augmented(image, Augmentation(random_resized_crop=crop), [3])
    key = tf.constant([0, 3], tf.int64)
    draws = tf.random.stateless_uniform([64], key, alg="philox")
    (top, left), (height, width) = (
        place.numpy() for place in transforms.crop_window(tf.constant([60, 80]), crop, draws)
    )
    part = Image.fromarray(image[top : top + height, left : left + width])
    expected = np.asarray(part.resize((8, 8), Image.BILINEAR)).astype(int)
    assert np.abs(found - expected).max() <= 1.5


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation", "hue"])
def test_each_change_of_color_is_that_of_the_reference(change, rng):
    image = images.random_image(rng, 8, 8)
    strength = 0.3
    jitter = Augmentation(color_jitter=ColorJitter(**{change: strength}))
    positions = range(20)
    for position, found in zip(positions, augmented(image, jitter, positions), strict=True):
        key = tf.constant([0, position], tf.int64)
        draws = tf.random.stateless_uniform([64], key, alg="philox").numpy()
        draw = draws[43 + ["brightness", "contrast", "saturation", "hue"].index(change)]
        expected = reference_color(image.astype(float), change, strength, draw)
        np.testing.assert_allclose(found, expected, atol=0.05)


def reference_color(image, change, strength, draw):
    if change == "hue":
        shift = strength * (2 * draw - 1)
        turned = np.empty_like(image)
        for place in np.ndindex(image.shape[:2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*image[place] / 255)
            turned[place] = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        return turned * 255
    gray = image @ [0.299, 0.587, 0.114]
    other = {"brightness": 0, "contrast": gray.mean(), "saturation": gray[..., None]}[change]
    factor = 1 - strength + 2 * strength * draw
    return np.clip(factor * image + (1 - factor) * other, 0, 255)


def test_changes_of_color_come_in_every_order(rng):
    image = images.random_image(rng, 4, 4)
    jitter = ColorJitter(brightness=1.0, contrast=1.0)
    found = augmented(image, Augmentation(color_jitter=jitter), range(40), image_size=(4, 4))
    orders = []
    for position, view in enumerate(found):
        key = tf.constant([0, position], tf.int64)
        draws = tf.random.stateless_uniform([64], key, alg="philox").numpy()[43:]
        for order in (("brightness", "contrast"), ("contrast", "brightness")):
            expected = image.astype(float)
            for change in order:
                draw = draws[0 if change == "brightness" else 1]
                expected = reference_color(expected, change, 1.0, draw)
            if np.allclose(view, expected, atol=0.05):
                orders.append(order)
    assert len(set(orders)) == 2


def shares(augmentation, positions, size=(8, 8)):
    @tf.function(autograph=False)
    def at(position):
        return mixing.own_share(position, 0, augmentation, size)

    return np.stack([at(tf.constant(position, tf.int64)) for position in positions])


def test_both_of_a_pair_have_the_same_share_and_pairs_differ():
    for augmentation in (Augmentation(mixup=0.5), Augmentation(cutmix=1.0)):
        found = shares(augmentation, range(40))
        np.testing.assert_array_equal(found[0::2], found[1::2])
        assert len(np.unique(found[::2].mean((1, 2, 3)))) > 10


def test_mixup_blends_evenly_with_a_share_from_the_beta_distribution():
    found = shares(Augmentation(mixup=0.4), range(0, 4000, 2), (1, 1)).ravel()
    assert abs(found.mean() - 0.5) < 0.03
    # Of Beta(a, a): 1 / (4 (2 a + 1)).
    assert abs(found.var() - 1 / (4 * 1.8)) < 0.01


def test_cutmix_takes_a_rectangle_of_the_other_image():
    found = shares(Augmentation(cutmix=1.0), range(0, 400, 2))[..., 0]
    assert set(np.unique(found)) == {0.0, 1.0}
    for other in found == 0:
        rows, columns = np.flatnonzero(other.any(1)), np.flatnonzero(other.any(0))
        if len(rows):
            assert other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_with_mixup_and_cutmix_a_pair_gets_either():
    found = shares(Augmentation(mixup=1.0, cutmix=1.0), range(0, 400, 2))
    blended = [len(np.unique(share)) == 1 and 0 < share.flat[0] < 1 for share in found]
    assert 60 < sum(blended) < 140


def test_labels_are_mixed_as_the_pixels(rng):
    pixels = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    labels = np.array([2, 0, 1, 1])
    for augmentation in (Augmentation(mixup=1.0), Augmentation(cutmix=1.0)):
        own = shares(augmentation, range(4))
        mixed, targets = mixing.mix(tf.constant(pixels), tf.constant(labels), own, 3)
        neighbors = pixels[[1, 0, 3, 2]]
        np.testing.assert_allclose(mixed, own * pixels + (1 - own) * neighbors, atol=1e-6)
        kept = own.mean((1, 2, 3))[:, None]
        hot = np.eye(3)[labels]
        np.testing.assert_allclose(
            targets, kept * hot + (1 - kept) * hot[[1, 0, 3, 2]], atol=1e-6
        )


@pytest.mark.parametrize(
    ("section", "content", "message"),
    [
        (Augmentation, {"pad_crop": 4, "random_resized_crop": {}}, "pad_crop=4 is not"),
        (Augmentation, {"cutout": 0}, "cutout=0 is not supported: pass a positive"),
        (Augmentation, {"mixup": -1.0}, "mixup=-1.0 is not supported"),
        (Augmentation, {"flip": True}, "flip"),
        (Augmentation, {"color_jitter": {"hue": 0.6}}, "hue=0.6 is not .* 0 to 0.5"),
        (Augmentation, {"color_jitter": {"contrast": 2}}, "contrast=2.0 is not"),
        (Augmentation, {"random_resized_crop": {"scale": [0.5, 0.1]}}, "scale="),
        (Augmentation, {"random_resized_crop": {"ratio": [0, 1]}}, "ratio="),
        (Preprocessing, {"image_size": [0, 4]}, "image_size="),
        (Preprocessing, {"mean": [0.5, 0.5]}, "mean="),
        (Preprocessing, {"std": [0.5, 0.5, 0.0]}, "std="),
        (Preprocessing, {"resize": 200}, "resize=200 is not supported: pass at least 224"),
    ],
)
def test_a_schema_refuses_what_is_out_of_range(section, content, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        pydantic.TypeAdapter(section).validate_python(content)


def test_a_schema_reads_a_whole_section():
    content = {
        "random_resized_crop": {"scale": [0.2, 1]},
        "horizontal_flip": True,
        "color_jitter": {"hue": 0.1},
        "mixup": 0.2,
    }
    assert pydantic.TypeAdapter(Augmentation).validate_python(content) == Augmentation(
        random_resized_crop=RandomResizedCrop((0.2, 1.0)),
        horizontal_flip=True,
        color_jitter=ColorJitter(hue=0.1),
        mixup=0.2,
    )
