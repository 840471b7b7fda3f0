"""A functional model of one that is a class of the user's, with a `call` of its own."""

import tensorflow as tf

from larq_bcd.convert.errors import ConversionError
from larq_bcd.models._arguments import require_model


def as_functional(model: tf.keras.Model) -> tf.keras.Model:
    """Returns a model with inputs and outputs.

    Args:
        model: a functional or Sequential model, which is handed back, or one of a subclass
            that has been called or built.

    Raises:
        UserError: if it is not a model of Keras 2.
        ConversionError: if it has never been called, or takes more than tensors.
    """
    require_model(model)
    if model.inputs:
        return model
    inputs = tf.nest.map_structure(_input, _input_specs(model))
    return tf.keras.Model(inputs, model(inputs), name=model.name)


def _input(spec: tf.TensorSpec):
    return tf.keras.Input(spec.shape[1:], batch_size=spec.shape[0], dtype=spec.dtype)


def _input_specs(model: tf.keras.Model):
    """What the model was called with, or built for: `tf.TensorSpec`, or a structure of them."""
    called = f"the model '{model.name}' ({type(model).__name__})"
    spec = model.save_spec()
    if spec is not None:
        arguments, options = spec
        if len(arguments) != 1 or options:
            raise ConversionError(
                f"{called} was called with {len(arguments)} positional arguments and "
                f"{list(options)}: pass all of its inputs as the first one, in a list or dict."
            )
        return arguments[0]
    # A `.keras` archive keeps the shape alone.
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None or any(not isinstance(side, int | None) for side in shape):
        raise ConversionError(
            f"{called} has no inputs yet: call it once on an image, or build it as a "
            "functional or Sequential model with a tf.keras.Input."
        )
    return tf.TensorSpec([None, *shape[1:]])
