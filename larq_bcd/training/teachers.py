"""Frozen full-precision networks whose probabilities are distilled."""

from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from larq_bcd._downloads import DownloadError, downloads
from larq_bcd.data.preprocessing import Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models import description_of, get_model
from larq_bcd.training.recipe import RESNET50, Teacher

_IMAGENET_CLASSES = 1000


def build_teacher(
    settings: Teacher,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    load: Callable[[str], tf.keras.Model],
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from normalized images to a teacher's logits.

    Args:
        settings: which network.
        preprocessing: of the images.
        class_names: of the data.
        load: loads a model by the path of its file, or its name.

    Raises:
        UserError: if it cannot be had, or is of other images or classes.
    """
    shape, num_classes = preprocessing.input_shape, len(class_names)
    if settings.file is not None:
        model = load(str(Path(settings.file).expanduser()))
        return frozen(_fitted(model, settings.file, preprocessing, class_names))
    if settings.network == RESNET50:
        return frozen(_resnet50(settings.weights, shape, preprocessing, num_classes))
    try:
        model = get_model(
            str(settings.network),
            input_shape=shape,
            num_classes=num_classes,
            weights=settings.weights,
            **settings.arguments,
        )
    except (ValueError, OSError) as error:
        raise UserError(f"teacher: {error}") from error
    return frozen(model)


def frozen(model: tf.keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a network as a function that trains nothing."""
    model.trainable = False

    def teach(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    return teach


def _fitted(
    model: tf.keras.Model, file: str, preprocessing: Preprocessing, class_names: Sequence[str]
) -> tf.keras.Model:
    """A model behind what turns the recipe's images into its own, with logits as output."""
    known = description_of(model)
    shape, takes = preprocessing.input_shape, tuple(model.inputs[0].shape[1:])
    if len(model.inputs) > 1 or not tf.TensorShape(takes).is_compatible_with(shape):
        raise UserError(
            f"teacher.file={file!r} takes images of {takes}, but the recipe makes {shape}: "
            "train one of the same preprocessing.image_size."
        )
    found = tuple(model.outputs[0].shape[1:])
    if len(model.outputs) > 1 or found != (len(class_names),):
        raise UserError(
            f"teacher.file={file!r} returns {found}, but the data have {len(class_names)} "
            "classes: give one that was trained on them."
        )
    names = known.class_names
    if names is not None and names != tuple(class_names):
        same = sorted(names) == sorted(class_names)
        how = "the classes of the data in another order" if same else "other classes"
        raise UserError(
            f"teacher.file={file!r} has {how}, {', '.join(names[:5])}, where the data have "
            f"{', '.join(class_names[:5])}: give one that was trained on these."
        )
    image = tf.keras.Input(shape)
    x, own = image, known.preprocessing
    if own is not None and (own.mean, own.std) != (preprocessing.mean, preprocessing.std):
        pairs = zip(preprocessing.std, own.std, strict=True)
        scale = [ours / theirs for ours, theirs in pairs]
        means = zip(preprocessing.mean, own.mean, own.std, strict=True)
        offset = [(ours - theirs) / std for ours, theirs, std in means]
        x = tf.keras.layers.Rescaling(scale, offset)(image)
    x = model(x)
    if _ends_in_softmax(model):  # of whose logarithm it is the softmax again
        x = tf.math.log(tf.maximum(x, 1e-7))
    return tf.keras.Model(image, x, name="teacher")


def _ends_in_softmax(model: tf.keras.Model) -> bool:
    last = model.layers[-1]
    softmax = tf.keras.activations.softmax
    return isinstance(last, tf.keras.layers.Softmax) or (
        getattr(last, "activation", None) is softmax
    )


def _resnet50(
    weights: str | None, shape: tuple, preprocessing: Preprocessing, num_classes: int
) -> tf.keras.Model:
    """ResNet-50 behind what turns the recipe's images into those that it was trained on."""
    if weights == "imagenet" and num_classes != _IMAGENET_CLASSES:
        raise UserError(
            f"teacher.weights='imagenet' has {_IMAGENET_CLASSES} classes, but the data have "
            f"{num_classes}: pass the weights of a ResNet50 that was trained on them, or "
            "leave the teacher out."
        )
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise UserError(
            f"teacher.weights={weights!r} is not a file: pass 'imagenet' or a file of weights "
            "of tf.keras.applications.ResNet50."
        )
    image = tf.keras.Input(shape)
    pixels = tf.keras.layers.Rescaling(
        [255 * std for std in preprocessing.std], [255 * mean for mean in preprocessing.mean]
    )(image)
    pixels = tf.keras.applications.resnet50.preprocess_input(pixels)
    resnet = _network(weights, shape, num_classes)
    return tf.keras.Model(image, resnet(pixels), name="resnet50")


def _network(weights: str | None, shape: tuple, num_classes: int) -> tf.keras.Model:
    try:
        with downloads():
            return tf.keras.applications.ResNet50(
                weights=weights,
                input_shape=shape,
                classes=num_classes,
                classifier_activation=None,
            )
    except DownloadError as error:
        raise UserError(
            f"teacher: the weights {weights!r} of ResNet50 could not be had ({error}): "
            "download the file of tf.keras.applications on another machine, and pass its path "
            "as teacher.weights."
        ) from error
    except (ValueError, OSError) as error:  # the image size; a damaged or foreign file
        raise UserError(
            f"teacher: ResNet50 with weights={weights!r} does not take images of {shape} and "
            f"{num_classes} classes ({str(error).splitlines()[0]}): change preprocessing or "
            "teacher.weights."
        ) from error
