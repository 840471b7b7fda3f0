"""Networks to measure: untrained, but with the operators and shapes of the real ones."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq
import larq_compute_engine as lce
import tensorflow as tf

layers = tf.keras.layers

# Channels out and stride of the blocks of BCDNet-A's convolution stage.
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]
BLOCKS += [(512, 2), (512, 1), (512, 1), (512, 1), (1024, 2)]
MLP_BLOCKS = 12


def _normal(scale: float, seed: list[int]):
    seed[0] += 1
    return tf.keras.initializers.RandomNormal(0, scale, seed=seed[0])


class Bias(layers.Layer):
    """Adds one learned value per channel."""

    def __init__(self, initializer, **kwargs):
        super().__init__(**kwargs)
        self.initializer = initializer

    def build(self, input_shape):
        """Adds the weight."""
        self.bias = self.add_weight("bias", (input_shape[-1],), initializer=self.initializer)

    def call(self, inputs):
        """Adds."""
        return inputs + self.bias


def bcdnet_a(size: int = 224, classes: int = 1000) -> tf.keras.Model:
    """BCDNet-A with random weights; its MLPs without the shifts, which are no arithmetic."""
    seed = [0]

    def bias(x):
        return Bias(_normal(0.3, seed))(x)

    def binary(x, channels, window, stride=1):
        x = larq.layers.QuantConv2D(
            channels, window, stride, padding="same", use_bias=False,
            input_quantizer="ste_sign", kernel_quantizer="magnitude_aware_sign",
            kernel_constraint="weight_clip", kernel_initializer=_normal(0.05, seed),
        )(x)  # fmt: skip
        return layers.BatchNormalization(beta_initializer=_normal(0.3, seed))(x)

    def activation(x):
        slopes = tf.keras.initializers.RandomUniform(0.1, 0.4, seed=seed[0])
        x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=slopes)(bias(x))
        return bias(x)

    def block(x, channels, stride):
        channels_in = x.shape[-1]
        y = binary(bias(x), channels_in, 3, stride)
        o = activation(y + (layers.AveragePooling2D(2)(x) if stride == 2 else x))
        a = bias(o)
        halves = [binary(a, channels_in, 1) + o for _ in range(channels // channels_in)]
        return activation(halves[0] if len(halves) == 1 else layers.Concatenate()(halves))

    def mlp(x, branches):
        a = bias(x)
        y = binary(a, x.shape[-1], 1)
        for _ in range(branches - 1):
            y = y + binary(a, x.shape[-1], 1)
        return activation(y + x)

    entry = tf.keras.Input((size, size, 3))
    x = layers.Conv2D(32, 3, 2, padding="same", kernel_initializer=_normal(0.2, seed))(entry)
    for channels, stride in BLOCKS:
        x = block(x, channels, stride)
    for index in range(MLP_BLOCKS):
        x = mlp(x, 1 if index % 4 == 3 else 3)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(entry, layers.Dense(classes)(x))


def binary_convolution(size: int, channels_in: int, channels_out: int, window: int):
    """One convolution between a quantization and float."""
    entry = tf.keras.Input((size, size, channels_in))
    result = larq.layers.QuantConv2D(
        channels_out, window, padding="same", pad_values=1.0, use_bias=False,
        input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(entry)  # fmt: skip
    return tf.keras.Model(entry, result)


def convert(model: tf.keras.Model) -> bytes:
    """Returns the LCE file of a model."""
    return lce.convert_keras_model(model)


def convert_float(model: tf.keras.Model) -> bytes:
    """Returns the plain TensorFlow Lite file of a model."""
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def convert_int8(model: tf.keras.Model) -> bytes:
    """Returns the TensorFlow Lite file of a model, quantized on random images."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shape = (1, *model.input_shape[1:])
    converter.representative_dataset = lambda: [
        [tf.random.stateless_normal(shape, (seed, 0))] for seed in range(8)
    ]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()
