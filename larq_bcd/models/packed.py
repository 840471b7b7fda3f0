"""The weights of a network as arrays, in which a binary kernel takes one bit per weight."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import tensorflow as tf

from larq_bcd._binary import leaves_signs, quantizer_name
from larq_bcd.errors import UserError

_SIGNS, _SCALE = ".signs", ".scale"
_MANTISSA = 24  # bits of a float32


def pack(model: tf.keras.Model) -> dict[str, np.ndarray]:
    """Returns the weights of a network as arrays.

    Of a kernel that is binary in training they have the signs, and the mean magnitude of each
    filter: a network of those computes the same, bit for bit. Any other variable is there as
    it is, in float16 where that holds every one of its values.

    Args:
        model: a network as its function builds it; it is not changed.

    Returns:
        By the names of the variables: uint8 `(ceil(weights / 8),)` as `NAME.signs`, the first
        weight in the highest bit and set where it is negative, and float32 `(filters,)` as
        `NAME.scale`; or the variable of its own shape as `NAME`.

    Raises:
        UserError: if a kernel is not the same to its quantizer when its magnitudes are gone.
        ValueError: if variables are not named by their layers, as in a model from a file.
    """
    for layer in model.layers:
        for variable in layer.weights:
            if not variable.name.startswith(f"{layer.name}/"):
                raise ValueError(f"{variable.name} of {layer.name} is not named by its layer")
    quantizers = _quantizers(model)
    arrays: dict[str, np.ndarray] = {}
    for variable in model.weights:
        name, values = _name(variable), variable.numpy()
        quantizer = quantizers.get(name)
        if quantizer is None or not leaves_signs(quantizer, variable):
            arrays[name] = _smallest(values)
            continue
        quantized = quantizer(tf.constant(values)).numpy()
        signs, scale = quantized < 0, _mean_magnitude(values)
        if not np.array_equal(quantizer(latent_kernel(signs, scale)), quantized):
            raise UserError(
                f"{model.name}: {quantizer_name(quantizer)} makes more of the kernel {name} "
                "than the signs and one mean for each filter: it cannot be stored as those."
            )
        arrays[name + _SIGNS] = np.packbits(signs)
        arrays[name + _SCALE] = scale
    return arrays


def unpack(
    arrays: Mapping[str, np.ndarray], model: tf.keras.Model, without: Collection[str] = ()
) -> None:
    """Gives a network the weights that `pack` returned.

    Args:
        arrays: what `pack` returned of a network of the same arguments.
        model: the network.
        without: names of layers that may be missing in it, and otherwise stay as they are.

    Raises:
        ValueError: if the arrays are those of another network; it is unchanged then.
    """
    left = {name for name in arrays if name.split("/")[0] not in without}
    assignments = []
    for variable in model.weights:
        name, shape = _name(variable), tuple(variable.shape)
        if name.split("/")[0] in without:
            continue
        if name in arrays:
            values = arrays[name]
            left -= {name}
        elif name + _SIGNS in arrays and name + _SCALE in arrays:
            bits, scale = arrays[name + _SIGNS], arrays[name + _SCALE]
            if len(bits) != -(-variable.shape.num_elements() // 8) or scale.shape != shape[-1:]:
                raise ValueError(f"{name} is of another shape than {shape}")
            signs = np.unpackbits(bits, count=variable.shape.num_elements()).astype(bool)
            values = latent_kernel(signs.reshape(shape), scale)
            left -= {name + _SIGNS, name + _SCALE}
        else:
            raise ValueError(f"{name} is missing")
        if values.shape != shape:
            raise ValueError(f"{name} is of shape {values.shape}, not {shape}")
        assignments.append((variable, values))
    if left:
        raise ValueError(f"the network has no {min(left)}")
    for variable, values in assignments:
        variable.assign(values.astype(variable.dtype.as_numpy_dtype))


def round_kernels(model: tf.keras.Model) -> None:
    """Rounds the real kernels of a network to float16, of which `pack` makes half the bytes.

    That changes what it computes: measure it after this.
    """
    quantizers = _quantizers(model)
    for variable in model.weights:
        if variable.shape.rank > 1 and _name(variable) not in quantizers:
            variable.assign(variable.numpy().astype(np.float16).astype(np.float32))


def latent_kernel(negative: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns a kernel of given signs whose magnitudes have exactly a given mean.

    A quantizer that takes this mean adds n magnitudes in an order of its own and divides by n,
    and n equal magnitudes a are no good: their sum is rounded on the way, and the quotient is
    not a. So the magnitudes are two neighboring multiples of a unit, mixed such that their sum
    T is the float32 of which T / n is rounded to the scale. T is less than 2^24 units, and so
    is the sum of some of them: each is a float32, and no order of adding them rounds anything.

    Args:
        negative: bool `(..., filters)`, where the weight is negative.
        scale: float32 `(filters,)`, the mean magnitude of each filter.

    Returns:
        float32 of the shape of `negative`. A scale that is not the float32 mean of so many
        float32 magnitudes has none of which it is the mean exactly; the next one is taken.
    """
    count = negative[..., 0].size
    mantissa, exponent = np.frexp(_totals(scale, count).astype(np.float64))
    units = np.ldexp(mantissa, _MANTISSA).astype(np.int64)
    each, more = np.divmod(units, count)
    magnitude = each + (np.arange(count)[:, None] < more)
    kernel = np.ldexp(magnitude.astype(np.float64), exponent - _MANTISSA).astype(np.float32)
    return np.where(negative, -1, 1).astype(np.float32) * kernel.reshape(negative.shape)


def _totals(scale: np.ndarray, count: int) -> np.ndarray:
    """The float32 sums `(filters,)` that give the scales when they are divided by the count."""
    nearest = (scale.astype(np.float64) * count).astype(np.float32)
    above = np.nextafter(nearest, np.float32(np.inf))
    below = np.nextafter(nearest, np.float32(0))
    candidates = np.stack([nearest, above, below])
    fits = candidates / np.float32(count) == scale
    return np.take_along_axis(candidates, fits.argmax(axis=0)[None], axis=0)[0]


def _mean_magnitude(kernel: np.ndarray) -> np.ndarray:
    """The mean magnitude of each filter, float32 `(filters,)`, as the quantizers take it."""
    return tf.reduce_mean(tf.abs(kernel), axis=list(range(kernel.ndim - 1))).numpy()


def _smallest(values: np.ndarray) -> np.ndarray:
    """The values in float16 where that holds them exactly, else as they are."""
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else values


def _quantizers(model: tf.keras.Model) -> dict[str, Callable]:
    """The quantizers of the kernels by the names of those."""
    return {
        _name(layer.kernel): layer.kernel_quantizer
        for layer in model.submodules
        if getattr(layer, "kernel_quantizer", None) is not None
    }


def _name(variable: tf.Variable) -> str:
    return variable.name.removesuffix(":0")
