import os

import hypothesis
import pytest

# Before anything imports TensorFlow: LCE's converter needs Keras 2.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import larq_bcd_runtime

hypothesis.settings.register_profile(
    "default", deadline=None, max_examples=150, print_blob=True
)
hypothesis.settings.register_profile("all", deadline=None, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def kernels_of_this_machine() -> list[str]:
    """The sets that load, apart from the reference; the fastest first."""
    found = []
    for name in ("avx512", "avx512bw", "avx2", "neon"):
        try:
            larq_bcd_runtime.load(kernels=name)
        except ValueError:
            continue
        found.append(name)
    return found


KERNELS = kernels_of_this_machine()
# Every machine that this project builds for has one at least.
assert KERNELS, "no kernels but the reference load on this machine"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernels" in metafunc.fixturenames:
        metafunc.parametrize("kernels", KERNELS)
