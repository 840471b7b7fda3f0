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
  mmdebstrap --variant=extract --arch=arm64 --skip=check/qemu --include=python3.11,libstdc++6,zlib1g \
    bookworm "$root"
  "$python" -m pip install -q --no-deps --target "$root/packages" --only-binary=:all: \
    --python-version $arm_python --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
    ai-edge-litert numpy flatbuffers typing-extensions tqdm backports.strenum protobuf ml-dtypes pillow
  # LiteRT looks up the processor's features here, and stumbles over an x86 one.
  mkdir -p "$root/proc"
  for processor in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n' $processor
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n'
    printf 'CPU part\t: 0xd08\nCPU revision\t: 3\n\n'
  done >"$root/proc/cpuinfo"
  touch "$root/complete"
}

need qemu-aarch64 qemu-user
need mmdebstrap mmdebstrap
[ -e "$root/packages/PIL" ] || make_root

"$python" -m pip install -q --no-deps --force-reinstall --no-index --target "$root/packages" \
  --upgrade --only-binary=:all: --platform manylinux_2_17_aarch64 --implementation py --abi none \
  dist/larq_bcd_runtime-*aarch64.whl

"$python" tests/portable_cases.py write "$work/cases"
emulated() {
  PYTHONPATH=$root/packages:tests qemu-aarch64 -cpu cortex-a72 -L "$root" \
    "$root/usr/bin/python$arm_python" "$@"
}
emulated tests/portable_cases.py compare "$work/cases"

# What a user does: the wheel in an empty environment, a whole network, an image.
[ -e build/BCDNetB.tflite ] || "$python" benchmarks/networks.py BCDNetB build/BCDNetB.tflite
"$python" -c 'from PIL import Image; Image.linear_gradient("L").save("build/image.png")'
"$python" -m venv --clear build/empty
build/empty/bin/pip install -q "$(echo dist/larq_bcd_runtime-*x86_64.whl)[images]"
for run in build/empty/bin/bcd-run "emulated -m larq_bcd_runtime.cli"; do
  classes=$($run build/BCDNetB.tflite build/image.png | grep -c %)
  echo "$run: $classes classes"
  [ "$classes" = 5 ]
done
