"""The tensors of a PyTorch checkpoint, whatever its file is called and whatever is around them.

A checkpoint is data: files are read by `torch.load(weights_only=True)` or as safetensors,
and a pickle that holds more than tensors is refused.
"""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from packaging.version import Version

from larq_bcd.errors import UserError

SUFFIXES = (".pth", ".pt", ".pth.tar", ".safetensors")
# Before 2.10, a crafted file corrupts memory under weights_only=True (CVE-2026-24747).
_MINIMUM_TORCH = Version("2.10")
# Of several the first: a moving average is what its training has evaluated.
_AVERAGES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_CONTAINERS = (
    *_AVERAGES, "state_dict", "model_state_dict", "model_state", "model", "network", "net",
)  # fmt: skip
# What wraps a network: parallel training, a compiler, a class around it.
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
# Of thop, which measures a network; of torch.optim.swa_utils.AveragedModel.
_COUNTERS = re.compile(r"(.*\.)?total_(ops|params)|n_averaged")
_STARTS = {
    b"<": "a page of HTML, which some sites send in place of a file",
    b"version https://git-lfs": "the pointer of a file that Git LFS keeps elsewhere",
    b"\x1f\x8b": "packed by gzip: unpack it",
}
Format: TypeAlias = Literal["torch", "safetensors", "keras", None]


@dataclass(frozen=True)
class StateDict:
    """A state dict.

    Attributes:
        tensors: its tensors by name, those of floating point as float32.
        found: what was around them, in words.
    """

    tensors: dict[str, np.ndarray]
    found: tuple[str, ...]


def format_of(path: Path) -> Format:
    """Returns what a file is by its content, or None if that does not tell."""
    with path.open("rb") as file:
        start = file.read(9)
    # First, since the length of its header may begin like anything else.
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") + 8 <= path.stat().st_size:
        return "safetensors"
    if start.startswith(b"\x89HDF"):
        return "keras"
    if start.startswith(b"PK"):
        try:
            names = zipfile.ZipFile(path).namelist()
        # Cut short, or of a version that nobody writes.
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return None
        if any(name.endswith("data.pkl") for name in names):
            return "torch"
        return "keras" if "config.json" in names else None
    if start[:1] == b"\x80":
        return "torch"
    return "safetensors" if start[8:] == b"{" else None  # cut short


def is_checkpoint(weights: Any) -> bool:
    """Whether weights are given as the path of a PyTorch checkpoint.

    Its content decides, and where that tells nothing, as of a damaged file, its name.
    """
    if not isinstance(weights, str | os.PathLike):
        return False
    path = Path(weights).expanduser()
    if not path.is_file():
        return False
    found = format_of(path)
    if found is None:
        return path.name.endswith(SUFFIXES)
    return found != "keras"


def read_state_dict(path: Path) -> StateDict:
    """Reads the tensors of a checkpoint, without running anything that is in it.

    Args:
        path: file of a state dict, bare, or under a key such as `"state_dict"`, `"model"` or
            `"state_dict_ema"` beside an optimizer's state and the like.

    Returns:
        The tensors, without prefixes that all names have, such as `module.` of a parallel
        training, and without the counters of tools.

    Raises:
        ImportError: if the package that reads the file is not installed, or too old.
        UserError: if the file is damaged, holds more than tensors, or no state dict.
    """
    kind = format_of(path) or ("safetensors" if path.suffix == ".safetensors" else "torch")
    found: list[str] = []
    tensors = _read_safetensors(path) if kind == "safetensors" else _read_torch(path, found)
    counters = [key for key in tensors if _COUNTERS.fullmatch(key)]
    if counters:
        found.append(f"{len(counters)} counters of tools, such as {counters[0]}, left out")
        tensors = {key: value for key, value in tensors.items() if key not in counters}
    prefix = "".join(_prefixes(tensors))
    if prefix:
        found.append(f"the prefix {prefix!r} of all names left out")
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return StateDict(tensors, tuple(found))


def _prefixes(tensors: dict) -> Iterator[str]:
    """The prefixes that all names have, one after the other."""
    names = list(tensors)
    while names:
        common = [x for x in _PREFIXES if all(name.startswith(x) for name in names)]
        if not common:
            return
        yield common[0]
        names = [name.removeprefix(common[0]) for name in names]


def _damaged(path: Path, kind: str) -> UserError:
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    for beginning, what in _STARTS.items():
        if start.startswith(beginning):
            return UserError(f"{path} could not be read: it is {what}; get the file itself.")
    return UserError(
        f"{path} could not be read: it is damaged, cut short or not a {kind}; get it again "
        "from where it came."
    )


def _too_large(path: Path) -> UserError:
    return UserError(
        f"{path} takes more memory than there is: free some; if the file is small, it is "
        "damaged: get it again from where it came."
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ModuleNotFoundError:
        raise ImportError(
            f"reading {path} needs safetensors, which is not installed: run "
            "`pip install safetensors`."
        ) from None
    try:
        return load_file(path)
    except MemoryError as error:
        raise _too_large(path) from error
    except (SafetensorError, OSError) as error:
        raise _damaged(path, "file of safetensors") from error


def _read_torch(path: Path, found: list[str]) -> dict[str, np.ndarray]:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(
            f"reading {path} needs PyTorch, which is not installed: run "
            "`pip install 'larq-bcd[pytorch]'`."
        ) from None
    if Version(torch.__version__) < _MINIMUM_TORCH:
        raise ImportError(
            f"reading {path} needs PyTorch {_MINIMUM_TORCH}, the first that reads foreign "
            f"files safely, but {torch.__version__} is installed: run "
            f"`pip install 'torch>={_MINIMUM_TORCH}'`."
        )
    try:
        # An open file, because PyTorch goes by the name otherwise.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file about which the error says more
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Without the cause: PyTorch's message advises to turn its protection off.
        if more := re.search(r"GLOBAL (\S+)", str(error)):
            raise UserError(
                f"{path} is refused: it holds more than tensors, {more[1]}, and is not "
                "unpickled; if you trust it, save its state dict alone with torch.save, or "
                "as .safetensors."
            ) from None
        raise _damaged(path, "PyTorch checkpoint") from None
    except MemoryError as error:
        raise _too_large(path) from error
    except Exception as error:  # a damaged pickle raises whatever its opcodes meet
        raise _damaged(path, "PyTorch checkpoint") from error
    content = _unpacked(content, found)
    try:
        return {key: _array(key, tensor) for key, tensor in content.items()}
    except (AttributeError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{path} holds no state dict: save a dict of dense tensors by name, bare or "
            "under the key 'state_dict' or 'model', with torch.save."
        ) from error


def _unpacked(content: Any, found: list[str]) -> Any:
    """The innermost of the known containers."""
    while isinstance(content, dict):
        keys = [key for key in _CONTAINERS if isinstance(content.get(key), dict)]
        if not keys:
            break
        key, *others = keys
        average = ", a moving average" if key in _AVERAGES else ""
        instead = f", and not those of {', '.join(map(repr, others))}" if others else ""
        found.append(f"the tensors of {key!r}{average}{instead}")
        content = content[key]
    return content


def _array(key, tensor) -> np.ndarray:
    """The values of a dense tensor of PyTorch, float32 if they are of floating point."""
    if not isinstance(key, str):
        raise TypeError(f"{key!r} is not the name of a tensor")
    return (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
