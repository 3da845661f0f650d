#!/usr/bin/env bash
# Compiles the CUDA library for one architecture, says how many registers each kernel takes, and fails if one spills or
# if the library depends on more of torch than its stable ABI.
set -euo pipefail
python=$1 arch=$2
build=build/cuda-$arch
cmake -S. -B$build -GNinja -DSSAMBA_CUDA=ON -DSSAMBA_CUDA_ARCHS="$arch" -DCMAKE_CUDA_FLAGS=-Xptxas=-v \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DSSAMBA_TORCH_DIR="$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')" >/dev/null
cmake --build $build --target ssamba_cuda --clean-first >$build/log || { cat $build/log; exit 1; }
"$python" tests/ptxas_report.py $build/log
torch-abi-audit --check torch $build/libssamba_cuda.so
