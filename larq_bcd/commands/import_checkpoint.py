"""Turns an official PyTorch checkpoint into a Keras model that knows its images and classes."""

import argparse

from larq_bcd import models
from larq_bcd._files import replacing
from larq_bcd._signals import Signals
from larq_bcd.data import imagenet
from larq_bcd.errors import UserError
from larq_bcd.models.pytorch import SUFFIXES


def run(arguments: argparse.Namespace, signals: Signals) -> int:
    output = arguments.output
    if not arguments.checkpoint.endswith(SUFFIXES):
        raise UserError(
            f"{arguments.checkpoint} is not a PyTorch checkpoint: give one of "
            f"{', '.join(SUFFIXES)}, under its own name."
        )
    kernels = {"kernel_quantizer": None} if arguments.real_kernels else {}
    try:
        model = models.get_model(
            arguments.model,
            weights=arguments.checkpoint,
            num_classes=arguments.num_classes,
            **kernels,
        )
    except (ImportError, TypeError) as error:  # no PyTorch; a network without such kernels
        raise UserError(str(error)) from None
    names = imagenet.class_names()
    model = models.describe(
        model,
        models.model_info(arguments.model).preprocessing,
        names if arguments.num_classes == len(names) else None,
    )
    print("\n".join(models.description_of(model).lines()))
    with replacing(output) as temporary:
        model.save(temporary)
    print(f"{output}: {model.name}, {model.count_params():,} parameters")
    return 0
