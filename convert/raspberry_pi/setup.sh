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
python=${PYTHON:-python3}

# The 32-bit system runs on a 64-bit kernel too: Python is what tells them apart.
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
  echo "$python is missing or older than 3.9: take Raspberry Pi OS bookworm, or set PYTHON" >&2
  exit 1
fi
bits=$("$python" -c 'import struct; print(8 * struct.calcsize("P"))')
if [ "$(uname -m)" != aarch64 ] || [ "$bits" != 64 ]; then
  echo "this is $(uname -m) with a $bits-bit Python: take the 64-bit Raspberry Pi OS" >&2
  exit 1
fi
# The camera's package comes with the system only.
options=()
if "$python" -c 'import picamera2' 2>/dev/null; then
  options=(--system-site-packages)
fi
# Some systems leave out venv's pip; Raspberry Pi OS has both.
"$python" -m venv "${options[@]}" "$home"
"$home/bin/pip" install --quiet "$1[images]"
echo "Now: $home/bin/bcd-run model.tflite image.jpg --threads 4"
