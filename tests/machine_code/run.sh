#!/usr/bin/env bash
# Compiles the CUDA library for some architectures and checks its machine code: rules, and the numbers of budget.json.
# Needs nvcc and a disassembler, but no GPU. `--update --reason "..."` and the like are passed on to check.py.
set -euo pipefail
python=$1 archs=$2
build=build/machine-code
cmake -S. -B$build -GNinja -DSSAMBA_CUDA=ON -DSSAMBA_CUDA_ARCHS="${archs// /;}" \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DSSAMBA_TORCH_DIR="$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')" >/dev/null
cmake --build $build --target ssamba_cuda -j "${JOBS:-2}" >$build/log || { cat $build/log; exit 1; }
"$python" tests/machine_code/check.py $build/libssamba_cuda.so "${@:3}"
