#!/usr/bin/env bash
# Runs the op tests on a build with the address and undefined-behaviour sanitizers. Leaks are not looked for: the
# interpreter and torch keep memory until the end on purpose.
set -euo pipefail
python=$1
build=build/sanitize
package=$build/package
cmake -S. -B$build -GNinja -DCMAKE_BUILD_TYPE=Debug -DSSAMBA_SANITIZE=ON \
  -DPython_EXECUTABLE="$("$python" -c 'import sys; print(sys.executable)')" \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" \
  -DSSAMBA_TORCH_DIR="$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)')" >/dev/null
cmake --build $build
rm -rf $package && mkdir -p $package && cp -r ssamba_ops $package/ && rm -f $package/ssamba_ops/*.so
cmake --install $build --prefix $package/ssamba_ops >/dev/null
runtime="$(${CXX:-c++} -print-file-name=libasan.so) $(${CXX:-c++} -print-file-name=libubsan.so)"
# Tests that compile with torch.compile start compilers, which the preloaded sanitizer would slow down to no purpose.
LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
  PYTHONPATH="$PWD/$package" "$python" -m pytest tests/ops -p no:xdist -o pythonpath="$package python tests/simt" \
  -k "not compiles and not opcheck and not different_code" "${@:2}"
