"""Signs, packed into words as Larq Compute Engine does."""

import numpy as np

WORD = 32  # signs in an int32


def words(channels: int) -> int:
    """How many words hold the signs of so many channels."""
    return -(-channels // WORD)


def pack_signs(values: np.ndarray) -> np.ndarray:
    """Packs signs: channel c is bit c % 32 of word c // 32.

    Args:
        values: any numeric array of shape (..., channels); a bit is set where it is < 0.

    Returns:
        int32 array of shape (..., ceil(channels / 32)); unused bits are 0.
    """
    bits = values < 0
    bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % WORD)])
    packed = np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little"))
    return packed.view("<i4").astype(np.int32)


def unpack_signs(packed: np.ndarray, channels: int) -> np.ndarray:
    """The inverse of `pack_signs`.

    Args:
        packed: int32 array of shape (..., ceil(channels / 32)).
        channels: the number of channels that are packed.

    Returns:
        float32 array of shape (..., channels) of +1 and -1.
    """
    little = np.ascontiguousarray(packed.astype("<i4")).view(np.uint8)
    bits = np.unpackbits(little, axis=-1, count=channels, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.float32)
