"""BCDNet-A as one would port it to larq: its layers and quantizers as they come.

The sign is computed for each branch, behind the shift, as Larq Compute Engine wants it.
"""

import larq as lq
import tensorflow as tf

layers = tf.keras.layers


class Bias(layers.Layer):
    def build(self, shape):
        self.bias = self.add_weight(name="bias", shape=(shape[-1],), initializer="zeros")

    def call(self, x):
        return x + self.bias


class Shift(layers.Layer):
    def __init__(self, distance):
        super().__init__()
        self.distance = distance

    def call(self, x):
        down, up, right, left = tf.split(x, 4, axis=-1)
        distance = self.distance
        rolled = [tf.roll(down, distance, 1), tf.roll(up, -distance, 1)]
        rolled += [tf.roll(right, distance, 2), tf.roll(left, -distance, 2)]
        return tf.concat(rolled, axis=-1)


def conv(x, filters, size, stride=1):
    if stride == 2:
        x = layers.ZeroPadding2D(1)(x) if size == 3 else x
    return lq.layers.QuantConv2D(
        filters,
        size,
        stride,
        padding="valid" if stride == 2 else "same",
        input_quantizer="approx_sign",
        kernel_quantizer="magnitude_aware_sign",
        kernel_initializer=tf.keras.initializers.RandomUniform(0.0, 0.001),
        use_bias=False,
    )(x)


def norm(x):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def rprelu(x):
    slope = tf.keras.initializers.Constant(0.25)
    x = layers.PReLU(alpha_initializer=slope, shared_axes=[1, 2])(Bias()(x))
    return Bias()(x)


def react_block(x, doubles, stride):
    channels = x.shape[-1]
    shortcut = layers.AveragePooling2D()(x) if stride == 2 else x
    o = rprelu(norm(conv(Bias()(x), channels, 3, stride)) + shortcut)
    a = Bias()(o)
    halves = [norm(conv(a, channels, 1)) + o for _ in range(1 + doubles)]
    return rprelu(layers.Concatenate()(halves) if doubles else halves[0])


def mlp_unit(x, branches):
    a = Bias()(x)
    y = conv(a, x.shape[-1], 1)
    for distance in (1, x.shape[1] // 2)[: branches - 1]:
        y = y + conv(Shift(distance)(a), x.shape[-1], 1)
    return rprelu(norm(y) + x)


def bcdnet_a(size=224, classes=1000):
    """Returns a model of the logits of both heads."""
    image = tf.keras.Input((size, size, 3))
    x = layers.ZeroPadding2D(1)(image)
    x = norm(layers.Conv2D(32, 3, 2, use_bias=False)(x))
    for stride, extra in zip((1, 2, 2, 2, 2), (0, 1, 1, 3, 0), strict=True):
        x = react_block(x, True, stride)
        for _ in range(extra):
            x = react_block(x, False, 1)
    for _ in range(3):
        for branches in (3, 3, 3, 1):
            x = mlp_unit(x, branches)
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, [layers.Dense(classes)(x) for _ in range(2)])
