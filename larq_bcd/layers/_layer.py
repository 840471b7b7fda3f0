import tensorflow as tf

from larq_bcd._shown import line


class Layer(tf.keras.layers.Layer):
    """A layer whose output has the shape of its input, unless it says otherwise.

    Its configuration are the attributes that `saved` names, which are arguments of it.
    """

    saved: tuple[str, ...] = ()
    __repr__ = line

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)

    def get_config(self):
        own = {name: _plain(getattr(self, name)) for name in self.saved}
        return {**super().get_config(), **own}


def _plain(value):
    serialize = tf.keras.saving.serialize_keras_object
    return serialize(value) if hasattr(value, "get_config") else value
