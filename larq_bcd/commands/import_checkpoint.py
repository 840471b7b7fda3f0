"""Turns an official PyTorch checkpoint into a Keras model."""

import argparse
import os
from pathlib import Path

from larq_bcd import models
from larq_bcd.errors import UserError
from larq_bcd.models.pytorch import SUFFIXES

EXAMPLES = """  larq-bcd import official.pth.tar --model BCDNetA -o bcdnet_a.keras
  larq-bcd import step1.safetensors --model ReActNetA --real-kernels -o step1.keras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `larq-bcd import`."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help=".pth, .pt, .pth.tar or .safetensors file"
    )
    parser.add_argument("--model", required=True, help="network, such as BCDNetA")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help=".keras file to be written"
    )
    parser.add_argument(
        "--real-kernels",
        action="store_true",
        help="for a checkpoint of the first training step, whose kernels are real",
    )
    parser.add_argument("--num-classes", type=int, default=1000, help="classes (1000)")
    parser.add_argument("--force", action="store_true", help="overwrite the file")


def run(arguments: argparse.Namespace) -> int:
    """Runs `larq-bcd import`."""
    output = arguments.output
    if not arguments.checkpoint.endswith(SUFFIXES):
        raise UserError(
            f"{arguments.checkpoint} is no PyTorch checkpoint: give one of "
            f"{', '.join(SUFFIXES)}, under its own name."
        )
    if output.suffix != ".keras":
        raise UserError(f"-o {output} is no .keras file: name it {output.stem}.keras.")
    if output.exists() and not arguments.force:
        raise UserError(f"{output} exists: choose another name, or overwrite it with --force.")
    if not output.absolute().parent.is_dir():
        raise UserError(f"{output} cannot be written: there is no folder {output.parent}.")
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
    part = output.with_name(f".{output.stem}.part.keras")
    try:
        model.save(part)
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)
    print(f"{output}: {model.name}, {model.count_params():,} parameters")
    return 0
