import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import describe
from larq_bcd.training.recipe import Teacher
from larq_bcd.training.teachers import build_teacher


def no_file(source):
    raise AssertionError(f"{source} is loaded")


def teacher(size=32, num_classes=1000, weights=None):
    settings = Teacher(network="ResNet50", weights=weights)
    names = [f"class{number}" for number in range(num_classes)]
    return build_teacher(settings, Preprocessing(image_size=(size, size)), names, no_file)


BIRDS = ("robin", "wren")
OF_TEACHER = Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3, resize=None)
OF_RECIPE = Preprocessing((8, 8), resize=None)


def of_file(activation=None, class_names=BIRDS, preprocessing=OF_RECIPE):
    """A teacher of a file that says how its images are prepared, and the model in the file."""
    image = tf.keras.Input((8, 8, 3))
    pooled = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Conv2D(4, 3)(image))
    model = tf.keras.Model(image, tf.keras.layers.Dense(2, activation=activation)(pooled))
    described = describe(model, OF_TEACHER, BIRDS)
    settings = Teacher(file="runs/birds/model.keras")
    return build_teacher(settings, preprocessing, class_names, lambda path: described), model


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_teacher_of_a_file_gets_its_own_images(activation, rng):
    teach, model = of_file(activation)
    pixels = rng.integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = model(OF_TEACHER.normalized(pixels))
    found = teach(tf.constant(OF_RECIPE.normalized(pixels)))
    # Of probabilities the logits are known up to a number for each image.
    of_teacher = expected if activation else tf.nn.softmax(expected)
    np.testing.assert_allclose(tf.nn.softmax(found), of_teacher, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_names": ("wren", "robin")}, "the classes of the data in another order, robin"),
        (
            {"class_names": ("cat", "dog")},
            "other classes, robin, wren, where the data have",
        ),
        ({"class_names": ("a", "b", "c")}, r"returns \(2,\), but the data have 3 classes"),
        ({"preprocessing": Preprocessing((9, 9))}, r"takes images of \(8, 8, 3\), but the rec"),
    ],
)
def test_a_teacher_of_other_images_or_classes_is_refused(arguments, message):
    with pytest.raises(UserError, match=rf"teacher\.file='runs/birds/model\.keras'.*{message}"):
        of_file(**arguments)


def test_images_too_small_for_resnet50_are_named():
    with pytest.raises(UserError, match=r"does not take images of \(16, 16, 3\).*at least 32"):
        teacher(size=16)


def test_other_classes_than_imagenet_s_are_refused():
    with pytest.raises(UserError, match="'imagenet' has 1000 classes, but the data have 10"):
        teacher(num_classes=10, weights="imagenet")


def test_a_missing_file_of_weights_is_named():
    with pytest.raises(UserError, match=r"teacher.weights='none.h5' is not a file"):
        teacher(weights="none.h5")


@pytest.fixture
def small_resnet50(monkeypatch):
    """ResNet50 of one layer, which takes a fiftieth of the time to build."""

    def stack(x):
        return tf.keras.layers.Conv2D(2048, 1, name="only")(x)

    def build(**arguments):
        from tf_keras.src.applications import resnet

        return resnet.ResNet(stack, False, True, "resnet50", include_top=True, **arguments)

    monkeypatch.setattr(tf.keras.applications, "ResNet50", build)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "of other classes"])
def test_a_damaged_or_foreign_file_of_weights_is_named(damage, small_resnet50, tmp_path):
    path = tmp_path / "resnet50.h5"
    if damage == "foreign":
        path.write_bytes(b"no weights")
    else:
        classes = 7 if damage == "of other classes" else 10
        tf.keras.applications.ResNet50(
            weights=None, input_shape=(32, 32, 3), classes=classes
        ).save_weights(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"resnet50\.h5' does not take images"):
        teacher(num_classes=10, weights=str(path))


def test_a_file_of_weights_is_used(small_resnet50, tmp_path, rng):
    path = tmp_path / "resnet50.h5"
    model = tf.keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    model.save_weights(path)
    images = rng.normal(size=(2, 32, 32, 3)).astype(np.float32)
    settings = Preprocessing(image_size=(32, 32))
    pixels = 255 * (images * np.array(settings.std) + np.array(settings.mean))
    expected = model(tf.keras.applications.resnet50.preprocess_input(pixels))
    found = teacher(num_classes=10, weights=str(path))(images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_without_a_network_the_error_says_how_to_get_the_weights(small_resnet50, monkeypatch):
    def unreachable(*arguments, **options):
        raise Exception("URL fetch failure on https://storage: None -- no such host")

    monkeypatch.setattr("tf_keras.src.utils.data_utils.get_file", unreachable)
    with pytest.raises(
        UserError, match=r"could not be had \(URL fetch failure.*another machine"
    ):
        teacher(size=224, weights="imagenet")
