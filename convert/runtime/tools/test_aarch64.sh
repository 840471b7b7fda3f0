#!/usr/bin/env bash
# Runs the aarch64 wheel under qemu's user-mode emulation, in an arm64 Debian root with the
# published arm64 packages, and compares its results with this machine's, bit by bit.
#
# Installs what it needs with apt-get, as root. The root is kept in build/aarch64 and built
# again if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
work=build/aarch64
root=$work/root
arm_python=3.11  # Debian bookworm's, which is Raspberry Pi OS's

need() {
  if ! command -v "$1" >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends "$2"
  fi
}

make_root() {
  rm -rf "$root"
  mkdir -p "$work"
  # Extracted only: nothing of it is executed here, so neither chroot nor binfmt is needed.
  mmdebstrap --variant=extract --arch=arm64 --skip=check/qemu \
    --include=bash,coreutils,python3-venv,libstdc++6,zlib1g bookworm "$root"
  # What the board would find in the package index.
  mkdir -p "$root/index" "$root/proc"
  "$python" -m pip download -q -d "$root/index" --only-binary=:all: \
    --python-version $arm_python --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 ai-edge-litert numpy pillow
  # LiteRT looks up the processor's features here, and stumbles over an x86 one.
  for processor in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n' $processor
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n'
    printf 'CPU part\t: 0xd08\nCPU revision\t: 3\n\n'
  done >"$root/proc/cpuinfo"
  touch "$root/complete"
}

# A shell on the board: the root is /, and what it starts is emulated too.
board() {
  env -i HOME=/board PATH=/usr/bin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/index PIP_NO_COMPILE=1 \
    proot -q "qemu-aarch64 -cpu cortex-a72" -r "$root" -b /dev -b /proc \
    -b "$root/proc/cpuinfo:/proc/cpuinfo" -b "$PWD/tests:/tests" -b "$PWD/$work/cases:/cases" \
    -w /board /bin/bash -euo pipefail -c "$1"
}

need qemu-aarch64 qemu-user
need mmdebstrap mmdebstrap
need proot proot
[ -e "$root/complete" ] || make_root
mkdir -p "$work/cases"

# What a user does, in the words of the instructions: the wheel in an environment of its own, a
# whole network, an image.
[ -e build/board.tflite ] || "$python" -c \
  'import sys; from larq_bcd.commands import main; sys.exit(main.lce_convert(sys.argv[1:]))' \
  BCDNetB -o build/board.tflite
home=$root/board
rm -rf "$home"
mkdir "$home"
cp dist/larq_bcd_runtime-*aarch64.whl ../raspberry_pi/setup.sh "$home"
cp build/board.tflite "$home/model.tflite"
"$python" -c 'from PIL import Image; Image.linear_gradient("L").save("build/image.jpg")'
cp build/image.jpg "$home/cat.jpg"
commands=$(sed -n 's/^    \(bash setup.sh .*\)/\1/p; s/^    \(~.* cat.jpg .*\)/\1/p' ../raspberry_pi/README.md)
[ "$(wc -l <<<"$commands")" = 2 ]
echo "$commands"
board "$commands" | tee "$work/classes"
[ "$(grep -c % "$work/classes")" = 5 ]
# The packages under the name that programs find them by that run them without a shell.
ln -sfn board/bcd/lib/python$arm_python/site-packages "$root/packages"

# The micro-kernels by themselves.
build/tools/bin/python -m ziglang cc -target aarch64-linux-gnu.2.17 -std=c11 -D_GNU_SOURCE -O3 \
  -ffp-contract=off -Inative -Itests/kernels tests/kernels/grid.c native/kernels/*.c -lm \
  -o "$work/grid"
qemu-aarch64 -cpu cortex-a72 -L "$root" "$work/grid" neon

"$python" tests/portable_cases.py write "$work/cases"
board "~/bcd/bin/python /tests/portable_cases.py compare /cases"

# The same on this machine.
"$python" -m venv --clear build/empty
build/empty/bin/pip install -q "$(echo dist/larq_bcd_runtime-*x86_64.whl)[images]"
build/empty/bin/bcd-run build/board.tflite build/image.jpg | tee build/classes
diff build/classes <(sed -n '/%/p' "$work/classes" | sed '1i build/image.jpg')
