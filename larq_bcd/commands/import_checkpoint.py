"""Turns an official PyTorch checkpoint into a Keras model that knows its images and classes."""

import argparse
import sys
import warnings
from pathlib import Path

from larq_bcd import models
from larq_bcd._files import replacing
from larq_bcd._signals import Signals
from larq_bcd.data import imagenet
from larq_bcd.errors import UserError
from larq_bcd.models.pytorch import load_checkpoint
from larq_bcd.models.state_dict import SUFFIXES, is_checkpoint


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    output = arguments.output
    path = Path(arguments.checkpoint).expanduser()
    _check(path)
    info = models.model_info(arguments.model)
    if info.official is None:
        known = [x for x in models.list_models() if models.model_info(x).official]
        raise UserError(
            f"--model {info.name}: there is no official checkpoint of it: give one of "
            f"{', '.join(known)}."
        )
    kernels = {"kernel_quantizer": None} if arguments.real_kernels else {}
    model = info.build(
        num_classes=arguments.num_classes, **{**info.official.arguments, **kernels}
    )
    try:
        with warnings.catch_warnings(record=True) as doubts:
            warnings.simplefilter("always")
            found = load_checkpoint(model, path, info.official)
    except ImportError as error:  # no PyTorch
        raise UserError(str(error)) from None
    for doubt in doubts:
        print(f"warning: {doubt.message}", file=sys.stderr)
    for sentence in found:
        print(f"{path}: {sentence}")
    names = imagenet.class_names()
    model = models.describe(
        model, info.preprocessing, names if arguments.num_classes == len(names) else None
    )
    print("\n".join(models.description_of(model).lines()))
    with replacing(output) as temporary:
        model.save(temporary)
    print(f"{output}: {model.name}, {model.count_params():,} parameters")
    return 0


def _check(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is not a file: give a PyTorch checkpoint.")
    if not is_checkpoint(path):
        raise UserError(
            f"{path} is not a PyTorch checkpoint: give what torch.save or safetensors wrote, "
            f"such as a file of {', '.join(SUFFIXES)}."
        )
