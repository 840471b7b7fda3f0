#!/usr/bin/env bash
# Runs the wheel for this machine on the oldest and newest runtimes it supports, each in its own
# environment, and compares the results bit by bit. Needs dist/ from `make wheels`.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
work=build/runtimes
wheels=(dist/larq_bcd_runtime-*"$(uname -m)".whl)

"$python" tests/portable_cases.py write "$work/cases"
for runtime in tflite-runtime==2.14.0 ai-edge-litert==1.2.0 ai-edge-litert==2.1.0 ai-edge-litert; do
  environment=$work/$runtime
  [ -e "$environment/complete" ] || {
    "$python" -m venv --clear "$environment"
    # The older runtimes are compiled for NumPy 1.
    "$environment/bin/pip" install -q "$runtime" 'numpy<2'
    touch "$environment/complete"
  }
  "$environment/bin/pip" install -q --no-deps --force-reinstall "${wheels[@]}"
  echo "$runtime"
  PYTHONPATH=tests "$environment/bin/python" tests/portable_cases.py compare "$work/cases"
done
