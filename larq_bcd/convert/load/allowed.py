"""What the file of a model may name: what computes tensors from tensors, and nothing else.

Keras finds functions and classes by the names in a file, everywhere in TensorFlow: also
`tf.io.gfile.rmtree`. These lists say which it may find. A name that is missing here is refused
until the user trusts the file, so a list that is too short does no harm.
"""

import tensorflow as tf


def names(prefix: str, listed: str) -> frozenset[str]:
    """The names of a list with blanks between them, each behind a prefix."""
    return frozenset(f"{prefix}{name}" for name in listed.split())


# Functions that a TFOpLambda layer may name, by TensorFlow's canonical names.
FUNCTIONS = (
    names(
        "",
        """
        argsort batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_to cast
        clip_by_norm clip_by_value concat convert_to_tensor einsum ensure_shape expand_dims eye
        fill gather gather_nd identity linspace meshgrid norm one_hot ones ones_like pad range
        rank realdiv repeat reshape reverse reverse_sequence roll scatter_nd searchsorted
        sequence_mask shape shape_n size slice sort space_to_batch space_to_batch_nd split
        squeeze stack stop_gradient strided_slice tensor_scatter_nd_add tensor_scatter_nd_max
        tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile
        transpose truncatediv truncatemod unstack where zeros zeros_like
        """,
    )
    | names("__operators__.", "add eq getitem ne")
    | names("bitwise.", "bitwise_and bitwise_or bitwise_xor invert left_shift right_shift")
    | names("dtypes.", "complex saturate_cast")
    | names(
        "image.",
        """
        adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_saturation
        central_crop convert_image_dtype crop_and_resize crop_to_bounding_box extract_patches
        flip_left_right flip_up_down grayscale_to_rgb hsv_to_rgb image_gradients
        pad_to_bounding_box per_image_standardization resize resize_with_crop_or_pad
        resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90 sobel_edges
        total_variation transpose yiq_to_rgb yuv_to_rgb
        """,
    )
    | names(
        "linalg.",
        """
        adjoint band_part cholesky cross det diag diag_part eigh eigvalsh expm inv logdet
        matmul matrix_transpose matvec normalize pinv qr set_diag slogdet solve sqrtm svd
        tensor_diag tensor_diag_part trace triangular_solve
        """,
    )
    | names(
        "math.",
        """
        abs accumulate_n acos acosh add add_n angle argmax argmin asin asinh atan atan2 atanh
        betainc ceil confusion_matrix conj cos cosh count_nonzero cumprod cumsum
        cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfcinv erfinv exp
        expm1 floor floordiv floormod greater greater_equal igamma igammac imag in_top_k
        is_finite is_inf is_nan l2_normalize less less_equal lgamma log log1p log_sigmoid
        logical_and logical_not logical_or logical_xor maximum minimum multiply multiply_no_nan
        ndtri negative nextafter not_equal polygamma polyval pow real reciprocal
        reciprocal_no_nan reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp
        reduce_max reduce_mean reduce_min reduce_prod reduce_std reduce_sum reduce_variance
        rint round rsqrt scalar_mul segment_max segment_mean segment_min segment_prod
        segment_sum sigmoid sign sin sinh softplus sqrt square squared_difference subtract tan
        tanh top_k truediv unsorted_segment_max unsorted_segment_mean unsorted_segment_min
        unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy
        zero_fraction zeta
        """,
    )
    | names(
        "nn.",
        """
        atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d avg_pool2d avg_pool3d
        batch_normalization bias_add conv1d conv1d_transpose conv2d conv2d_transpose conv3d
        conv3d_transpose conv_transpose convolution crelu depth_to_space depthwise_conv2d
        dilation2d dropout elu embedding_lookup erosion2d gelu l2_loss leaky_relu
        local_response_normalization log_softmax max_pool max_pool1d max_pool2d max_pool3d
        max_pool_with_argmax moments normalize_moments pool relu relu6 selu separable_conv2d
        sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits
        softsign space_to_depth sparse_softmax_cross_entropy_with_logits weighted_moments
        """,
    )
    | names(
        "quantization.",
        """
        fake_quant_with_min_max_args fake_quant_with_min_max_vars
        fake_quant_with_min_max_vars_per_channel quantize_and_dequantize
        quantize_and_dequantize_v2
        """,
    )
    | names("random.", "normal stateless_normal stateless_uniform truncated_normal uniform")
    | names(
        "signal.",
        """
        dct fft fft2d fft3d fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d
        ifftshift irfft irfft2d irfft3d overlap_and_add rfft rfft2d rfft3d stft
        """,
    )
    | names(
        "compat.v1.",
        """
        batch_gather batch_to_space boolean_mask clip_by_average_norm div expand_dims floor_div
        gather gather_nd norm ones_like pad reverse_sequence shape size squeeze to_double
        to_float to_int32 to_int64 transpose where zeros_like
        """,
    )
    | names(
        "compat.v1.image.",
        """
        crop_and_resize extract_image_patches resize_area resize_bicubic resize_bilinear
        resize_image_with_pad resize_images resize_nearest_neighbor
        """,
    )
    | names(
        "compat.v1.math.",
        """
        argmax argmin count_nonzero in_top_k reduce_all reduce_any reduce_logsumexp reduce_max
        reduce_mean reduce_min reduce_prod reduce_sum scalar_mul
        """,
    )
    | names(
        "compat.v1.nn.",
        """
        avg_pool conv1d conv2d conv2d_transpose conv3d conv3d_transpose convolution crelu
        depth_to_space depthwise_conv2d depthwise_conv2d_native dilation2d dropout erosion2d
        fused_batch_norm log_softmax max_pool max_pool_with_argmax moments pool
        separable_conv2d softmax space_to_batch space_to_depth weighted_moments
        """,
    )
    | names(
        "keras.activations.",
        """
        elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus
        softsign swish tanh
        """,
    )
    | names(
        "keras.backend.",
        """
        abs all any arange argmax argmin batch_dot batch_flatten batch_normalization bias_add
        binary_crossentropy cast cast_to_floatx categorical_crossentropy clip concatenate
        constant conv1d conv2d conv2d_transpose conv3d cos cumprod cumsum depthwise_conv2d dot
        dropout elu equal exp expand_dims eye flatten gather greater greater_equal hard_sigmoid
        in_top_k l2_normalize less less_equal log max maximum mean min minimum not_equal
        one_hot ones_like permute_dimensions pool2d pool3d pow prod random_bernoulli
        random_normal random_uniform relu repeat repeat_elements reshape resize_images
        resize_volumes reverse round separable_conv2d shape sigmoid sign sin softmax softplus
        softsign sparse_categorical_crossentropy spatial_2d_padding spatial_3d_padding sqrt
        square squeeze stack std stop_gradient sum tanh temporal_padding tile transpose
        truncated_normal var zeros_like
        """,
    )
    | names("keras.losses.", "categorical_hinge cosine_similarity huber log_cosh")
    | names(
        "keras.metrics.",
        """
        binary_accuracy binary_crossentropy categorical_accuracy categorical_crossentropy hinge
        kl_divergence mean_absolute_error mean_squared_error sparse_categorical_accuracy
        sparse_categorical_crossentropy squared_hinge
        """,
    )
)

# Functions that a layer may name as its activation.
ACTIVATIONS = names(
    "",
    """
    elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu
    sigmoid silu softmax softplus softsign swish tanh ELU LeakyReLU PReLU ReLU Softmax
    ThresholdedReLU
    """,
)

# Missing: what runs Python (Lambda), any operation of TensorFlow (TensorFlowOpLayer) or any
# method (ClassMethod, InstanceMethod, InstanceProperty), and what reads vocabularies
# (StringLookup, IntegerLookup, TextVectorization, the layers of feature columns).
_LAYERS = names(
    "",
    """
    Functional Model Sequential InputLayer InputSpec Layer Wrapper TFOpLambda SlicingOpLambda
    Activation ActivityRegularization Add AddLoss AddMetric AdditiveAttention AlphaDropout
    Attention Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D
    AvgPool3D BaseRandomLayer BatchNormalization BatchNormalizationBase BatchNormalizationV1
    BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
    ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose
    Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM
    Dense DepthwiseConv1D DepthwiseConv2D DeviceWrapper Discretization Dot Dropout
    DropoutWrapper ELU EinsumDense Embedding Flatten GRU GRUCell GRUCellV1 GRUCellV2 GRUV1
    GRUV2 GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
    GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization Identity LSTM LSTMCell LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2
    LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPool1D
    MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RNN RandomBrightness RandomContrast
    RandomCrop RandomFlip RandomFourierFeatures RandomHeight RandomRotation RandomTranslation
    RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape ResidualWrapper Resizing
    SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN
    SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization ThresholdedReLU
    TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
    """,
)
_DATA = names(
    "", "Policy PolicyV1 TensorShape __bytes__ __ellipsis__ __numpy__ __tensor__ __tuple__"
)


def _public_classes(module, base: type) -> frozenset[str]:
    return frozenset(
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base)
    )


# What is in these modules of Keras fills, measures or confines tensors, each of it.
CLASSES = (
    _LAYERS
    | _DATA
    | _public_classes(tf.keras.initializers, tf.keras.initializers.Initializer)
    | _public_classes(tf.keras.regularizers, tf.keras.regularizers.Regularizer)
    | _public_classes(tf.keras.constraints, tf.keras.constraints.Constraint)
    | _public_classes(tf.keras.metrics, tf.keras.metrics.Metric)
)

# Modules that Keras may look for them in; `tf_keras.` and `keras.src.` are left out. The last
# has TensorFlow's own initializers, as EfficientNetV2 names them.
MODULES = names(
    "",
    """
    builtins keras keras.activations keras.constraints keras.engine.functional
    keras.engine.sequential keras.engine.training keras.initializers keras.layers
    keras.layers.core.tf_op_layer keras.layers.experimental
    keras.layers.experimental.preprocessing keras.metrics keras.mixed_precision keras.models
    keras.regularizers tensorflow.python.ops.init_ops_v2
    """,
)
