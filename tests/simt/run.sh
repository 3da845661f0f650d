#!/usr/bin/env bash
# Builds the op library for the emulated GPU and runs the op tests with it in the place of the CPU's, or the tests given.
# The sanitizer must be in the process before Python. It reports to the emulator, which ends the launch with an error, so
# that one fault fails one test.
set -euo pipefail
python=$1
build=build/simt
cmake -Stests/simt -B$build -GNinja \
  -DSSAMBA_TORCH_DIR="$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')" >/dev/null
cmake --build $build
# torch.compile would start compilers under the sanitizer; what it and opcheck look at are schemas, not kernels.
tests=(tests/simt tests/ops -k "not compile and not opcheck")
[[ "${*:2}" != *tests/* ]] || tests=()
runtime="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libstdc++.so)"
LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0:halt_on_error=0:suppress_equal_pcs=0:max_malloc_fill_size=0 \
  SSAMBA_SIMT=$PWD/$build/libssamba_simt.so "$python" -m pytest "${tests[@]}" "${@:2}"
