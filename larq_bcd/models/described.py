"""What a model says of itself: the preprocessing of its images and the names of its classes.

Both are saved in the model, whatever the format, so that copying that one file is enough.
"""

import json
from collections.abc import Sequence

import tensorflow as tf

from larq_bcd.data.preprocessing import Description, Preprocessing
from larq_bcd.errors import UserError
from larq_bcd.models._arguments import require_model
from larq_bcd.models._pixels import warn_of_pixels
from larq_bcd.models.registry import model_info
from larq_bcd.models.weights import copy_between_builds

_RESCALED = (1 / 255, 1 / 127.5)
# A standard deviation of values in [0, 1] that is smaller leaves pixels about as they are.
_OF_PIXELS = 0.02


@tf.keras.utils.register_keras_serializable(package="larq_bcd")
class DescribedModel(tf.keras.Model):
    """A functional model that keeps a description when it is saved, loaded and cloned.

    `describe` makes one. It computes what the model computes of which it was made.
    """

    # JSON, because Keras would make trackable containers of anything else.
    description = "{}"

    def __init__(self, *args, **kwargs):  # as Keras asks for, to restore a functional model
        super().__init__(*args, **kwargs)

    def get_config(self):
        """Returns the configuration of a functional model, and the description."""
        plain = _functional(self)
        # How HDF5 files name the classes of layers, which their writer tells the model.
        plain.use_legacy_config = getattr(self, "use_legacy_config", None)
        own = {"trainable": self.trainable, "description": self.description}
        return {**plain.get_config(), **own}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Returns the model of a configuration."""
        config = dict(config)
        description = config.pop("description")
        model = super().from_config(config, custom_objects)
        model.description = description
        _warn_of_pixels(model)
        return model


# HDF5 files name the class of a model without its package.
tf.keras.utils.get_custom_objects()[DescribedModel.__name__] = DescribedModel


def _functional(model: tf.keras.Model) -> tf.keras.Model:
    return tf.keras.Model(model.input, model.output, name=model.name)


def describe(
    model: tf.keras.Model,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
) -> tf.keras.Model:
    """Returns a model that says of itself how its images are prepared and what it tells apart.

    `model.save` keeps it, and `lce_convert`, `larq-bcd evaluate` and `larq-bcd explain` do what
    it says.

    Args:
        model: a functional or Sequential model of one image; it is not changed.
        preprocessing: what was done to the images that it was trained on.
        class_names: names of its classes in the order of its outputs.

    Returns:
        A model of new layers with the same weights.

    Raises:
        UserError: if it is not a model of Keras 2, or the preprocessing or the names do not fit
            it.
    """
    require_model(model)
    content = _content(model, preprocessing, class_names)
    described = DescribedModel.from_config(
        {**_functional(model).get_config(), "description": content}
    )
    copy_between_builds(model, described)
    return described


def around(
    model: tf.keras.Model,
    preprocessing: Preprocessing,
    class_names: Sequence[str] | None = None,
) -> tf.keras.Model:
    """Returns what `describe` returns, but of the very layers of the model."""
    content = _content(model, preprocessing, class_names)
    described = DescribedModel(model.input, model.output, name=model.name)
    described.description = content
    _warn_of_pixels(described)
    return described


def _warn_of_pixels(model: DescribedModel) -> None:
    """Has a model that says that it takes normalized images warn of others."""
    try:
        std = json.loads(model.description)["preprocessing"]["std"]
    except (ValueError, KeyError, TypeError):  # which `description_of` refuses
        return
    if min(std) > _OF_PIXELS:
        warn_of_pixels(model, "model")


def _content(
    model: tf.keras.Model, preprocessing: Preprocessing, class_names: Sequence[str] | None
) -> str:
    """The description, as it is saved."""
    shape = tuple(model.inputs[0].shape[1:])
    if preprocessing.input_shape != shape:
        raise UserError(
            f"preprocessing makes images of shape {preprocessing.input_shape}, but "
            f"{model.name!r} takes {shape}: change image_size, or mean and std."
        )
    content: dict = {"preprocessing": preprocessing.to_plain()}
    if class_names is not None:
        if len(class_names) != model.outputs[0].shape[-1]:
            raise UserError(
                f"class_names has {len(class_names)} names, but {model.name!r} has "
                f"{model.outputs[0].shape[-1]} outputs: give one for each."
            )
        content["class_names"] = list(class_names)
    return json.dumps(content)


def description_of(model: tf.keras.Model, network: str | None = None) -> Description:
    """Returns what a model says of itself.

    A model that begins with a Rescaling of 0 to 255 says that it takes pixels as they are.

    Args:
        model: a model; nothing is known of one of several inputs.
        network: its name if it is a network of the registry that was not trained, which has
            the preprocessing of the network's data set at its own size.

    Raises:
        UserError: if what was saved in it cannot be understood.
    """
    if len(model.inputs) != 1:
        return Description()
    if isinstance(model, DescribedModel):
        try:
            content = json.loads(model.description)
            preprocessing = Preprocessing.from_plain(content["preprocessing"])
            names = content.get("class_names")
            names = None if names is None else tuple(map(str, names))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"what {model.name!r} says of its preprocessing cannot be understood "
                f"({error}): describe it anew with larq_bcd.models.describe."
            ) from error
        if preprocessing.input_shape == tuple(model.inputs[0].shape[1:]):
            where = "saved in the model"
            return Description(preprocessing, names, where, where if names else "")
    shape = tuple(model.inputs[0].shape[1:])
    if network is not None and model_info(network).preprocessing.input_shape == shape:
        return Description(model_info(network).preprocessing, origin=f"as of {network}")
    layers = [x for x in model.layers if not isinstance(x, tf.keras.layers.InputLayer)]
    first = layers[0] if layers else None
    if (
        isinstance(first, tf.keras.layers.Rescaling)
        and first.scale in _RESCALED
        and len(shape) == 3
        and shape[-1] in (1, 3)
        and None not in shape
    ):
        channels = shape[-1]
        pixels = Preprocessing(shape[:2], (0.0,) * channels, (1 / 255,) * channels, None)
        return Description(pixels, origin=f"as its first layer, {first.name}, takes pixels")
    return Description()
