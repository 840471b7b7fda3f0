import numpy as np
import pytest
import tensorflow as tf

from larq_bcd.layers import QuantConv2D
from larq_bcd.models import with_training_heads
from larq_bcd.training.distillation import DistillingModel, binary_kernels
from larq_bcd.training.recipe import Loss


def log_softmax(x):
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


@pytest.fixture
def network():
    """Two binary convolutions and the two heads."""
    tf.keras.utils.set_random_seed(3)
    inputs = tf.keras.Input((4, 4, 3))
    x = inputs
    for filters in (4, 5):
        x = QuantConv2D(filters, 2, input_quantizer="approx_sign", kernel_quantizer="ste_sign")(
            x
        )
        x = tf.keras.layers.BatchNormalization()(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    outputs = [tf.keras.layers.Dense(5, name=name)(x) for name in ("fc", "fc_dist")]
    return tf.keras.Model(inputs, tf.keras.layers.Average()(outputs))


def heads(network, images):
    return [x.numpy() for x in with_training_heads(network)(images, training=True)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("soft", [False, True])
def test_loss_is_the_papers(network, rng, share, soft):
    """In float64 from the logits of both heads, labels smoothed, the teacher's not."""
    images = rng.normal(size=(6, 4, 4, 3)).astype(np.float32)
    labels = rng.dirichlet(np.ones(5), 6) if soft else rng.integers(5, size=6)
    dense = labels if soft else np.eye(5)[labels]
    taught = rng.normal(size=(6, 5)).astype(np.float32)
    first, second = heads(network, images)
    model = DistillingModel(
        network,
        Loss(label_smoothing=0.1, distillation=share),
        (lambda _: tf.constant(taught)) if share else None,
    )
    model.compile(tf.keras.optimizers.SGD(0.0))
    labels = labels.astype(np.float32) if soft else labels
    loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
    smooth = 0.9 * dense + 0.1 / 5
    if share:
        of_labels = -(smooth * log_softmax(first.astype(np.float64))).sum(1)
        target = np.exp(log_softmax(taught.astype(np.float64)))
        of_teacher = -(target * log_softmax(second.astype(np.float64))).sum(1)
        expected = (1 - share) * of_labels + share * of_teacher
    else:
        mean = (first.astype(np.float64) + second) / 2
        expected = -(smooth * log_softmax(mean)).sum(1)
    np.testing.assert_allclose(loss, expected.mean(), rtol=2e-5)


def test_flip_ratio_is_the_share_of_all_binary_weights(network, rng):
    """And stays so over batches of an epoch: the bar shows what the history has."""
    model = DistillingModel(network, Loss(label_smoothing=0.1))
    model.compile(tf.keras.optimizers.SGD(0.0))
    kernels = binary_kernels(network)
    assert len(kernels) == 2
    flipped, count = [], sum(kernel.shape.num_elements() for kernel in kernels)
    images = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    labels = np.array([0, 1])
    results = model.train_on_batch(images, labels, return_dict=True)
    assert results["flip_ratio"] == 0
    for share in (0.5, 0.1):
        changed = 0
        for kernel in kernels:
            negated = rng.random(kernel.shape) < share
            changed += negated.sum()
            kernel.assign(np.where(negated, -1.0, 1.0) * kernel.numpy())
        flipped.append(changed / count)
        results = model.train_on_batch(images, labels, reset_metrics=False, return_dict=True)
        np.testing.assert_allclose(results["flip_ratio"], np.mean(flipped), rtol=1e-4)
    assert "flip_ratio" in [metric.name for metric in model.metrics]


def test_a_network_without_binary_weights_has_no_flip_ratio():
    inputs = tf.keras.Input((4,))
    model = DistillingModel(tf.keras.Model(inputs, tf.keras.layers.Dense(3)(inputs)), Loss())
    assert [metric.name for metric in model.metrics] == ["loss", "accuracy"]
