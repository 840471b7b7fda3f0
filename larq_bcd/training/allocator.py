"""How the C library's allocator is told to keep the memory of a step for the next one."""

import ctypes

# From malloc.h of the GNU C library.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = (1 << 31) - 1


def keep_memory() -> None:
    """Keeps freed memory in the process, where the C library is GNU's.

    A step allocates and frees its tensors anew. Those of more than some hundred kB the library
    takes from the system and gives back each time, and the system fills their pages with
    zeros each time. TensorFlow sets the threshold that low itself when a pipeline with a
    Python generator starts, so call this once the pipeline runs.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _LARGEST)
