#!/usr/bin/env bash
# Puts the runtime into an environment of its own, ~/bcd, on a fresh Raspberry Pi OS (64-bit,
# bookworm): Python 3.11 is there, and nothing is compiled.
#
#   bash setup.sh larq_bcd_runtime-*aarch64.whl
#
# BCD_HOME is another place than ~/bcd; PYTHON another Python than python3.
set -euo pipefail

if [ $# -ne 1 ] || [ ! -f "$1" ]; then
  echo "usage: bash setup.sh larq_bcd_runtime-VERSION-...aarch64.whl" >&2
  exit 1
fi
home=${BCD_HOME:-$HOME/bcd}

if [ "$(uname -m)" != aarch64 ]; then
  echo "this is $(uname -m): take the 64-bit Raspberry Pi OS" >&2
  exit 1
fi
# Some systems leave out venv's pip; Raspberry Pi OS has both.
"${PYTHON:-python3}" -m venv "$home"
"$home/bin/pip" install --quiet "$1[images]"
echo "Now: $home/bin/bcd-run model.tflite image.jpg --threads 4"
