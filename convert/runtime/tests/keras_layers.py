"""Small networks of one to three layers, one for each that an application may use."""

import tensorflow as tf
import tf_keras as keras

layers = keras.layers
activations = keras.activations
IMAGE, SERIES, VECTOR, VOLUME = (12, 10, 6), (12, 6), (20,), (6, 8, 6, 4)


def network(compute, *shapes, dtype="float32", batch=None):
    """A network of one function of its inputs; layers are made when it is called."""

    def build():
        inputs = [layers.Input(shape, batch_size=batch, dtype=dtype) for shape in shapes]
        return keras.Model(inputs, compute(*inputs))

    return build


def function(compute, *shapes, dtype="float32", batch=None):
    """A network of plain TensorFlow operations."""

    def apply(*inputs):
        return layers.Lambda(lambda tensors: compute(*tensors))(inputs)

    return network(apply, *(shapes or (IMAGE,)), dtype=dtype, batch=batch)


def adapted(x):
    layer = layers.Normalization(mean=[0.1, -0.2, 0.3] * 2, variance=[1.0, 2.0, 0.5] * 2)
    return layer(x)


def residual(x):
    y = layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False)(x))
    return layers.ReLU()(layers.Add()([x, y]))


def squeeze_and_excite(x):
    gate = layers.Dense(3, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, layers.Dense(6, activation="sigmoid")(gate)])


def attention(x):
    return layers.MultiHeadAttention(2, 4)(x, x)


CONVOLUTIONS = {
    "Conv1D": network(lambda x: layers.Conv1D(5, 3)(x), SERIES),
    "Conv1D_same_strides": network(
        lambda x: layers.Conv1D(5, 3, 2, padding="same", activation="relu")(x), SERIES
    ),
    "Conv1D_causal": network(
        lambda x: layers.Conv1D(5, 3, padding="causal", dilation_rate=2)(x), SERIES
    ),
    "Conv2D": network(lambda x: layers.Conv2D(5, 3)(x), IMAGE),
    "Conv2D_same_strides": network(
        lambda x: layers.Conv2D(5, 3, 2, padding="same", activation="relu")(x), IMAGE
    ),
    "Conv2D_1x1": network(lambda x: layers.Conv2D(5, 1, use_bias=False)(x), IMAGE),
    "Conv2D_dilated": network(lambda x: layers.Conv2D(5, 3, dilation_rate=(2, 3))(x), IMAGE),
    "Conv2D_dilated_same": network(
        lambda x: layers.Conv2D(5, 3, dilation_rate=2, padding="same")(x), IMAGE
    ),
    "Conv2D_groups": network(lambda x: layers.Conv2D(6, 3, groups=3)(x), IMAGE),
    "Conv2D_1x7": network(lambda x: layers.Conv2D(5, (1, 7), padding="same")(x), IMAGE),
    "Conv2D_large_window": network(lambda x: layers.Conv2D(5, 15, padding="same")(x), IMAGE),
    "Conv2D_whole_image": network(lambda x: layers.Conv2D(5, (12, 10))(x), IMAGE),
    "Conv2D_one_channel": network(lambda x: layers.Conv2D(1, 3)(x), (12, 10, 1)),
    "Conv2D_stride_above_window": network(lambda x: layers.Conv2D(5, 1, 3)(x), IMAGE),
    "Conv3D": network(lambda x: layers.Conv3D(5, 3)(x), VOLUME),
    "Conv3D_same": network(
        lambda x: layers.Conv3D(5, 3, 2, padding="same", activation="relu")(x), VOLUME
    ),
    "Conv1DTranspose": network(lambda x: layers.Conv1DTranspose(5, 3, 2)(x), SERIES),
    "Conv2DTranspose": network(lambda x: layers.Conv2DTranspose(5, 3)(x), IMAGE),
    "Conv2DTranspose_same": network(
        lambda x: layers.Conv2DTranspose(5, 3, 2, padding="same", activation="relu")(x), IMAGE
    ),
    "Conv2DTranspose_without_bias": network(
        lambda x: layers.Conv2DTranspose(5, 2, 2, use_bias=False)(x), IMAGE
    ),
    "Conv3DTranspose": network(lambda x: layers.Conv3DTranspose(5, 2, 2)(x), VOLUME),
    "DepthwiseConv1D": network(lambda x: layers.DepthwiseConv1D(3)(x), SERIES),
    "DepthwiseConv2D": network(lambda x: layers.DepthwiseConv2D(3)(x), IMAGE),
    "DepthwiseConv2D_multiplier": network(
        lambda x: layers.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=3)(x), IMAGE
    ),
    "DepthwiseConv2D_dilated": network(
        lambda x: layers.DepthwiseConv2D(3, dilation_rate=2, padding="same")(x), IMAGE
    ),
    "DepthwiseConv2D_dilated_valid": network(
        lambda x: layers.DepthwiseConv2D(3, dilation_rate=(1, 2), use_bias=False)(x), IMAGE
    ),
    "DepthwiseConv2D_one_channel": network(
        lambda x: layers.DepthwiseConv2D(3, depth_multiplier=4)(x), (12, 10, 1)
    ),
    "SeparableConv1D": network(lambda x: layers.SeparableConv1D(5, 3)(x), SERIES),
    "SeparableConv2D": network(
        lambda x: layers.SeparableConv2D(5, 3, 2, padding="same")(x), IMAGE
    ),
    "LocallyConnected1D": network(lambda x: layers.LocallyConnected1D(5, 3)(x), SERIES),
    "LocallyConnected2D": network(lambda x: layers.LocallyConnected2D(5, 3)(x), IMAGE),
    "Conv2D_of_two_tensors": function(
        lambda x, w: tf.nn.conv2d(x, tf.transpose(w[0], (1, 2, 3, 0)), 1, "SAME"),
        IMAGE, (4, 3, 3, 6), batch=1,
    ),
    "residual": network(residual, IMAGE),
    "squeeze_and_excite": network(squeeze_and_excite, IMAGE),
}  # fmt: skip

POOLS = {
    f"{kind}Pooling{rank}D_{padding}": network(
        lambda x, layer=f"{kind}Pooling{rank}D", padding=padding: getattr(layers, layer)(
            3, 2, padding=padding
        )(x),
        shape,
    )
    for kind in ("Average", "Max")
    for rank, shape in ((1, SERIES), (2, IMAGE))
    for padding in ("valid", "same")
}
POOLS |= {
    f"Global{kind}Pooling{rank}D": network(
        lambda x, layer=f"Global{kind}Pooling{rank}D": getattr(layers, layer)()(x), shape
    )
    for kind in ("Average", "Max")
    for rank, shape in ((1, SERIES), (2, IMAGE), (3, VOLUME))
}
POOLS |= {
    "AveragePooling2D_wide": network(lambda x: layers.AveragePooling2D((1, 5), 1)(x), IMAGE),
    "AveragePooling2D_whole_image": network(
        lambda x: layers.AveragePooling2D((12, 10))(x), IMAGE
    ),
    "AveragePooling2D_beyond_image": network(
        lambda x: layers.AveragePooling2D(20, 1, padding="same")(x), IMAGE
    ),
    "MaxPooling2D_beyond_image": network(
        lambda x: layers.MaxPooling2D(20, 1, padding="same")(x), IMAGE
    ),
    "MaxPooling2D_relu": network(lambda x: layers.ReLU()(layers.MaxPooling2D()(x)), IMAGE),
    "MaxPooling2D_stride_above_window": network(lambda x: layers.MaxPooling2D(1, 2)(x), IMAGE),
    "GlobalAveragePooling2D_keepdims": network(
        lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x), IMAGE
    ),
    "l2_pool": function(lambda x: tf.sqrt(tf.nn.avg_pool2d(x * x, 2, 2, "VALID"))),
}

SHAPES = {
    "ZeroPadding1D": network(lambda x: layers.ZeroPadding1D(2)(x), SERIES),
    "ZeroPadding2D": network(lambda x: layers.ZeroPadding2D(((1, 2), (3, 0)))(x), IMAGE),
    "ZeroPadding2D_and_Conv2D": network(
        lambda x: layers.Conv2D(5, 3, 2)(layers.ZeroPadding2D()(x)), IMAGE
    ),
    "ZeroPadding3D": network(lambda x: layers.ZeroPadding3D(1)(x), VOLUME),
    "Cropping1D": network(lambda x: layers.Cropping1D((1, 2))(x), SERIES),
    "Cropping2D": network(lambda x: layers.Cropping2D(((1, 2), (3, 0)))(x), IMAGE),
    "Cropping3D": network(lambda x: layers.Cropping3D(1)(x), VOLUME),
    "CenterCrop": network(lambda x: layers.CenterCrop(7, 4)(x), IMAGE),
    "UpSampling1D": network(lambda x: layers.UpSampling1D(2)(x), SERIES),
    "UpSampling2D": network(lambda x: layers.UpSampling2D((2, 3))(x), IMAGE),
    "UpSampling2D_bilinear": network(
        lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x), IMAGE
    ),
    "UpSampling3D": network(lambda x: layers.UpSampling3D(2)(x), VOLUME),
    "Reshape": network(lambda x: layers.Reshape((10, 4, 18))(x), IMAGE),
    "Reshape_open": network(lambda x: layers.Reshape((-1, 6))(x), IMAGE),
    "Reshape_of_one_sample": network(lambda x: layers.Reshape((-1, 6))(x), IMAGE, batch=1),
    "Permute": network(lambda x: layers.Permute((3, 1, 2))(x), IMAGE),
    "Flatten": network(lambda x: layers.Dense(3)(layers.Flatten()(x)), IMAGE),
    "RepeatVector": network(lambda x: layers.RepeatVector(4)(x), VECTOR),
    "transpose": function(lambda x: tf.transpose(x, (0, 2, 1, 3))),
    "expand_dims": function(lambda x: tf.expand_dims(tf.expand_dims(x, -1), 1)),
    "squeeze": function(lambda x: tf.squeeze(x[:, :1], 1)),
    "squeeze_last": function(lambda x: tf.squeeze(x, -1), (12, 10, 1)),
    "tile": function(lambda x: tf.tile(x, (1, 2, 1, 3))),
    "repeat": function(lambda x: tf.repeat(x, 3, axis=1)),
    "broadcast_to": function(lambda x: tf.broadcast_to(x[:, :, :1], (1, *IMAGE)), batch=1),
    "pad": function(lambda x: tf.pad(x, ((0, 0), (1, 2), (0, 1), (0, 3)))),
    "pad_constant": function(
        lambda x: tf.pad(x, ((0, 0), (1, 2), (0, 1), (0, 3)), constant_values=2.5)
    ),
    "pad_reflect": function(lambda x: tf.pad(x, ((0, 0), (1, 2), (2, 1), (0, 0)), "REFLECT")),
    "pad_symmetric": function(
        lambda x: tf.pad(x, ((0, 0), (1, 2), (2, 1), (0, 0)), "SYMMETRIC")
    ),
    "space_to_depth": function(lambda x: tf.nn.space_to_depth(x, 2)),
    "depth_to_space": function(lambda x: tf.nn.depth_to_space(x, 2), (6, 5, 8)),
    "reverse": function(lambda x: tf.reverse(x, (1, 2))),
    "split": function(lambda x: tf.split(x, 3, -1)),
    "split_sizes": function(lambda x: tf.split(x, (1, 2, 3), -1)),
    "split_first_axis": function(lambda x: tf.split(x, 4, 1)[::-1]),
    "stack": function(lambda x: tf.stack((x, 2 * x, -x), 2)),
    "unstack": function(lambda x: tf.unstack(x, axis=3)[:2]),
    "strided_slice": function(lambda x: x[:, 1:-2:2, ::-1, 2]),
    "strided_slice_new_axis": function(lambda x: x[:, tf.newaxis, ..., -1:]),
    "strided_slice_ellipsis": function(lambda x: x[..., 1:4]),
    "strided_slice_empty": function(lambda x: tf.concat([x[:, 3:3], x], 1)),
    "strided_slice_beyond": function(lambda x: x[:, -100:100, 4:99]),
    "slice": function(lambda x: tf.slice(x, (0, 2, 3, 1), (-1, 5, -1, 2))),
    "shape_of_input": function(
        lambda x: tf.reshape(x, (tf.shape(x)[0], tf.shape(x)[1] * tf.shape(x)[2], -1))
    ),
    "fill": function(lambda x: x + tf.fill((tf.shape(x)[0], 1, 1, 6), 3.0)),
    "zeros_like": function(lambda x: tf.concat((x, tf.zeros_like(x), tf.ones_like(x)), -1)),
    "meshgrid": function(lambda x: x[..., 0] + tf.meshgrid(*map(tf.range, (10.0, 12.0)))[0]),
}

DENSE = {
    "Dense": network(lambda x: layers.Dense(7, activation="softmax")(x), VECTOR),
    "Dense_without_bias": network(lambda x: layers.Dense(7, use_bias=False)(x), VECTOR),
    "Dense_one_unit": network(lambda x: layers.Dense(1, activation="sigmoid")(x), VECTOR),
    "Dense_of_series": network(lambda x: layers.Dense(7, activation="relu")(x), SERIES),
    "Dense_of_image": network(lambda x: layers.Dense(7)(x), IMAGE),
    "Dense_of_volume": network(lambda x: layers.Dense(7, use_bias=False)(x), VOLUME),
    "EinsumDense": network(
        lambda x: layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(x), SERIES
    ),
    "matmul": function(lambda x: tf.matmul(x, x, transpose_b=True), SERIES),
    "matmul_of_constant": function(lambda x: tf.matmul(x, tf.ones((6, 5))), SERIES),
    "matmul_of_images": function(lambda x: tf.matmul(x, x, transpose_a=True)),
    "einsum": function(lambda x: tf.einsum("bij,bkj->bik", x, x), SERIES),
    "Dot": network(lambda x, y: layers.Dot((2, 2))((x, y)), SERIES, SERIES),
    "Dot_normalized": network(
        lambda x, y: layers.Dot(1, normalize=True)((x, y)), VECTOR, VECTOR
    ),
    "BatchNormalization": network(lambda x: layers.BatchNormalization()(x), IMAGE),
    "LayerNormalization": network(lambda x: layers.LayerNormalization()(x), SERIES),
    "LayerNormalization_of_image": network(
        lambda x: layers.LayerNormalization(axis=(1, 2, 3))(x), IMAGE
    ),
    "GroupNormalization": network(lambda x: layers.GroupNormalization(3)(x), IMAGE, batch=1),
    "UnitNormalization": network(lambda x: layers.UnitNormalization()(x), SERIES),
    "Normalization": network(adapted, IMAGE),
    "Rescaling": network(lambda x: layers.Rescaling(1 / 127.5, -1)(x), IMAGE),
    "Rescaling_of_uint8": network(
        lambda x: layers.Rescaling(1 / 127.5, -1)(x), IMAGE, dtype="uint8"
    ),
    "Rescaling_and_Conv2D_of_uint8": network(
        lambda x: layers.Conv2D(5, 3)(layers.Rescaling(1 / 255)(x)), IMAGE, dtype="uint8"
    ),
    "Resizing": network(lambda x: layers.Resizing(7, 9)(x), IMAGE),
    "Resizing_nearest": network(
        lambda x: layers.Resizing(7, 9, interpolation="nearest")(x), IMAGE
    ),
    "Resizing_crop": network(
        lambda x: layers.Resizing(7, 9, crop_to_aspect_ratio=True)(x), IMAGE
    ),
    "Dropout": network(lambda x: layers.Dropout(0.5)(layers.GaussianNoise(1)(x)) * 2, VECTOR),
    "l2_normalize": function(lambda x: tf.nn.l2_normalize(x, -1)),
    "local_response_normalization": function(tf.nn.local_response_normalization),
    "standardization": function(
        lambda x: (x - tf.reduce_mean(x)) / tf.math.reduce_std(x), batch=1
    ),
    "moments": function(lambda x: tf.concat(tf.nn.moments(x, (1, 2)), -1)),
}

ACTIVATIONS = {
    f"activation_{name}": network(
        lambda x, name=name: layers.Activation(name)(layers.Conv2D(5, 3)(x)), IMAGE
    )
    for name in ("relu", "relu6", "elu", "selu", "gelu", "sigmoid", "hard_sigmoid", "tanh",
                 "softplus", "softsign", "swish", "exponential", "mish", "linear", "softmax")
}  # fmt: skip
ACTIVATIONS |= {
    "ReLU_limits": network(lambda x: layers.ReLU(4.0, 0.2, 0.5)(x), IMAGE),
    "ReLU_minus_one_to_one": function(lambda x: tf.maximum(tf.minimum(x, 1), -1)),
    "ReLU_zero_to_one": function(lambda x: tf.minimum(tf.maximum(x, 0), 1)),
    "LeakyReLU": network(lambda x: layers.LeakyReLU(0.1)(x), IMAGE),
    "PReLU": network(lambda x: layers.PReLU()(x), IMAGE),
    "PReLU_shared": network(lambda x: layers.PReLU(shared_axes=(1, 2))(x), IMAGE),
    "ELU": network(lambda x: layers.ELU(0.5)(x), IMAGE),
    "ThresholdedReLU": network(lambda x: layers.ThresholdedReLU(0.5)(x), IMAGE),
    "hard_swish": function(lambda x: x * tf.nn.relu6(x + 3) / 6),
    "gelu_approximate": function(lambda x: tf.nn.gelu(x, approximate=True)),
    "Softmax_of_axis_1": network(lambda x: layers.Softmax(axis=1)(x), IMAGE),
    "Softmax_of_two_axes": network(lambda x: layers.Softmax(axis=(1, 2))(x), IMAGE),
    "Softmax_of_image": network(lambda x: layers.Softmax()(x), IMAGE),
    "log_softmax": function(tf.nn.log_softmax),
    "crelu": function(tf.nn.crelu),
}

MERGES = {
    name: network(lambda x, y, name=name: getattr(layers, name)()((x, y)), IMAGE, IMAGE)
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
}
MERGES |= {
    "Add_of_three": network(lambda x, y, z: layers.Add()((x, y, z)), IMAGE, IMAGE, IMAGE),
    "Add_broadcast": network(lambda x, y: layers.Add()((x, y)), IMAGE, (1, 1, 6)),
    "Multiply_broadcast": network(lambda x, y: layers.Multiply()((x, y)), IMAGE, (12, 1, 1)),
    "Multiply_of_ranks": function(lambda x: x * tf.reshape(tf.range(6.0), (6,))),
    "Concatenate_axis_1": network(
        lambda x, y: layers.Concatenate(1)((x, y)), IMAGE, (3, 10, 6)
    ),
    "Attention": network(lambda x, y: layers.Attention()([x, y]), SERIES, SERIES),
    "AdditiveAttention": network(
        lambda x, y: layers.AdditiveAttention()([x, y]), SERIES, SERIES
    ),
    "MultiHeadAttention": network(attention, SERIES),
    "MultiHeadAttention_causal": network(
        lambda x: layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True), SERIES
    ),
    "two_outputs": network(lambda x: (layers.Dense(3)(x), layers.Dense(2)(x)), VECTOR),
    "input_is_output": network(lambda x: (x, layers.Dense(2)(x)), VECTOR),
    "unused_input": network(lambda x, y: layers.Dense(3)(x), VECTOR, SERIES),
}

# A loop that is not unrolled needs a fixed batch.
RECURRENT = {
    f"{name}{'_unrolled' * unroll}{'_sequences' * sequences}": network(
        lambda x, name=name, unroll=unroll, sequences=sequences: getattr(layers, name)(
            5, unroll=unroll, return_sequences=sequences
        )(x),
        SERIES,
        batch=None if unroll else 1,
    )
    for name in ("SimpleRNN", "LSTM", "GRU")
    for unroll in (False, True)
    for sequences in (False, True)
}
RECURRENT |= {
    "Bidirectional": network(
        lambda x: layers.Bidirectional(layers.LSTM(5))(x), SERIES, batch=1
    ),
    "LSTM_states": network(lambda x: layers.LSTM(5, return_state=True)(x), SERIES, batch=1),
    "GRU_before": network(lambda x: layers.GRU(5, reset_after=False)(x), SERIES, batch=1),
    "ConvLSTM1D": network(lambda x: layers.ConvLSTM1D(3, 3)(x), (4, 8, 3), batch=1),
    "ConvLSTM2D": network(lambda x: layers.ConvLSTM2D(3, 3)(x), (4, 8, 7, 3), batch=1),
    "TimeDistributed": network(
        lambda x: layers.TimeDistributed(layers.Conv2D(3, 3))(x), (4, 8, 7, 3)
    ),
    "Embedding": network(lambda x: layers.Embedding(100, 4)(x), (9,), dtype="int32"),
    "Embedding_LSTM": network(
        lambda x: layers.LSTM(3)(layers.Embedding(100, 4)(x)), (9,), dtype="int32", batch=1
    ),
    "Embedding_masked": network(
        lambda x: layers.LSTM(3)(layers.Embedding(100, 4, mask_zero=True)(x)),
        (9,),
        dtype="int32",
        batch=1,
    ),
    "Embedding_pooled": network(
        lambda x: layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(100, 4)(x))),
        (9,),
        dtype="int32",
    ),
}

OPERATIONS = {
    f"tf_{name}": function(getattr(tf.math, name))
    for name in ("abs", "ceil", "cos", "exp", "floor", "negative", "round", "sign", "sin",
                 "square", "tanh", "sigmoid", "softplus", "expm1")
}  # fmt: skip
OPERATIONS |= {
    f"tf_{name}_of_positives": function(
        lambda x, name=name: getattr(tf.math, name)(tf.abs(x) + 0.1)
    )
    for name in ("log", "sqrt", "rsqrt", "reciprocal", "log1p")
}
OPERATIONS |= {
    f"tf_{name}{'_keepdims' * keepdims}": function(
        lambda x, name=name, keepdims=keepdims: getattr(tf, name)(x, (1, -1), keepdims)
    )
    for name in ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod",
                 "reduce_logsumexp")
    for keepdims in (False, True)
}  # fmt: skip
OPERATIONS |= {
    "tf_reduce_std": function(lambda x: tf.math.reduce_std(x, (1, 2))),
    "tf_reduce_any": function(lambda x: tf.reduce_any(x > 1, -1)),
    "tf_reduce_all": function(lambda x: tf.reduce_all(x > -1, (1, 2))),
    "tf_cumsum": function(lambda x: tf.cumsum(x, 1, exclusive=True, reverse=True)),
    "tf_pow": function(lambda x: tf.pow(tf.abs(x), 2.5)),
    "tf_divide": function(lambda x: x / (2 + tf.abs(x[:, ::-1]))),
    "tf_floordiv": function(lambda x: tf.math.floordiv(x, 0.3)),
    "tf_floormod": function(lambda x: tf.math.floormod(x, 0.3)),
    "tf_atan2": function(lambda x: tf.atan2(x, x[:, ::-1])),
    "tf_squared_difference": function(
        lambda x: tf.math.squared_difference(x, x[:, :, ::-1])
    ),
    "tf_clip": function(lambda x: tf.clip_by_value(x, -0.5, 0.7)),
    "tf_add_n": function(lambda x: tf.add_n((x, -2 * x, x * x))),
    "tf_where": function(lambda x: tf.where(x > 0.1, x, -x)),
    "tf_where_broadcast": function(lambda x: tf.where(x[:, :, :, :1] > 0.1, x, 0.0)),
    "tf_where_places": function(lambda x: tf.where(x[0] > 0)[:5], batch=1),
    "tf_comparisons": function(
        lambda x: tf.cast(tf.equal(x, tf.floor(x)) | tf.not_equal(x, 1) & ~(x <= 0), "float32")
    ),
    "tf_less": function(lambda x: tf.less(x, 0.5) != tf.greater_equal(x, 0)),
    "tf_argmax": function(lambda x: tf.argmax(x, -1)),
    "tf_argmax_int32": function(lambda x: tf.argmax(x, 1, tf.int32)),
    "tf_argmin": function(lambda x: tf.argmin(x, 2)),
    "tf_top_k": function(lambda x: tf.math.top_k(x, 3)),
    "tf_top_k_indices": function(lambda x: tf.math.top_k(x, 3).indices, VECTOR),
    "tf_sort": function(tf.sort, VECTOR),
    "tf_cast_to_int": function(lambda x: tf.cast(x * 10, tf.int32)),
    "tf_cast_of_uint8": function(lambda x: tf.cast(x, tf.float32) / 255, dtype="uint8"),
    "tf_cast_of_int8": function(lambda x: tf.cast(x, tf.float32) / 255, dtype="int8"),
    "tf_cast_to_uint8": function(lambda x: tf.cast(tf.abs(x * 10), tf.uint8)),
    "tf_cast_to_bool": function(lambda x: tf.cast(tf.cast(x, tf.bool), tf.int64)),
    "tf_quantized": function(lambda x: tf.quantization.fake_quant_with_min_max_args(x)),
    "tf_gather": function(lambda x: tf.gather(x, (3, 0, 1, 3), axis=1)),
    "tf_gather_last": function(lambda x: tf.gather(x, ((5, 0), (1, 2)), axis=-1)),
    "tf_gather_of_tensor": function(
        lambda x: tf.gather(tf.reshape(tf.range(200.0), (100, 2)), x), (9,), dtype="int32"
    ),
    "tf_gather_batched": function(
        lambda x: tf.gather(x, tf.argmax(x, 1, tf.int32), batch_dims=1), VECTOR
    ),
    "tf_gather_nd": function(lambda x: tf.gather_nd(x, [[[3, 1], [2, 2]]], 1), batch=1),
    "tf_concat_of_samples": function(lambda x: tf.concat([x, 2 * x], 0), batch=1),
    "tf_scatter_nd": function(
        lambda x: x + tf.scatter_nd([[1], [3]], [[1.0] * 6] * 2, (10, 6))
    ),
    "tf_one_hot": function(lambda x: tf.one_hot(x, 12), (9,), dtype="int32"),
    "tf_one_hot_axis": function(
        lambda x: tf.one_hot(x, 12, 2.0, -1.0, axis=1), (9,), dtype="int32"
    ),
    "tf_range": function(lambda x: x + tf.range(tf.cast(tf.shape(x)[-1], tf.float32))),
    "tf_resize_bilinear": function(lambda x: tf.image.resize(x, (7, 17))),
    "tf_resize_nearest": function(lambda x: tf.image.resize(x, (7, 17), "nearest")),
    "tf_resize_corners": function(
        lambda x: tf.compat.v1.image.resize_bilinear(x, (7, 17), align_corners=True)
    ),
    "tf_resize_old": function(lambda x: tf.compat.v1.image.resize_bilinear(x, (24, 20))),
    "tf_grayscale": function(tf.image.rgb_to_grayscale, (12, 10, 3)),
    "tf_flip": function(tf.image.flip_left_right),
    "tf_bgr": function(lambda x: x[..., ::-1] - (103.9, 116.8, 123.7), (12, 10, 3)),
    "tf_central_crop": function(lambda x: tf.image.central_crop(x, 0.5)),
    "tf_image_gradients": function(lambda x: tf.image.image_gradients(x), batch=1),
    "tf_nms": function(
        lambda x: tf.image.non_max_suppression(x[0, :, :4], x[0, :, 4], 3), SERIES, batch=1
    ),
    "tf_cond": function(
        lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x), batch=1
    ),
    "tf_while": function(
        lambda x: tf.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, y * 1.5), (0, x))[1],
        batch=1,
    ),
    "tf_complex_magnitude": function(lambda x: tf.abs(tf.signal.rfft(x)), (16,)),
    "tf_stft": function(lambda x: tf.abs(tf.signal.stft(x, 16, 8)), (64,)),
    "tf_frame": function(lambda x: tf.signal.frame(x, 16, 8), (64,)),
    "tf_lookup": function(
        lambda x: tf.nn.embedding_lookup(tf.ones((100, 3)), x), (4,), dtype="int32"
    ),
    "int32_arithmetic": function(
        lambda x: tf.maximum(x * 2 - 3, x // 4) % 7 + tf.abs(-x), dtype="int32"
    ),
    "int32_reductions": function(
        lambda x: (tf.reduce_sum(x, 1), tf.reduce_max(x, 2), tf.reduce_mean(x, 3)),
        dtype="int32",
    ),
    "int64_arithmetic": function(lambda x: x * 3 + x - 1, dtype="int64"),
    "int32_shape": function(lambda x: tf.concat((x[:, ::2], x[:, 1::2]), 1), dtype="int32"),
    "uint8_shape": function(
        lambda x: tf.transpose(tf.concat((x, x), 1), (0, 2, 1, 3)), dtype="uint8"
    ),
    "int8_shape": function(lambda x: tf.reshape(x[:, 2:], (-1, 100, 6)), dtype="int8"),
    "bool_logic": function(lambda x: tf.where(x, 1.0, 2.0), dtype="bool"),
    "bitwise": function(lambda x: tf.bitwise.bitwise_xor(x, 5), dtype="int32"),
    "scalars": function(lambda x: x + 1, (), batch=3),
    "vector_of_samples": function(lambda x: tf.expand_dims(x, -1) * (1.0, 2.0), ()),
    "seven_dimensions": function(lambda x: x + 1.0, (1, 2, 3, 2, 1, 2)),
}  # fmt: skip

LAYERS = CONVOLUTIONS | POOLS | SHAPES | DENSE | ACTIVATIONS | MERGES | RECURRENT | OPERATIONS
