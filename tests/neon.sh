#!/usr/bin/env bash
# Compiles every kernel for 64-bit ARM, where the baseline is NEON, and runs the scan, and exp2 and softplus on a sample
# of floats, under an emulator. Needs a cross compiler (g++-aarch64-linux-gnu) and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
compiler=${NEON_CXX:-aarch64-linux-gnu-g++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags="-std=gnu++20 -O2 -ffp-contract=fast -fno-math-errno -fno-trapping-math -Wall -Wextra -Wno-psabi"
for kernel in csrc/cpu/*_kernel.cpp; do
  $compiler $flags -DSSAMBA_KERNEL_ISA=baseline -c "$kernel" -o "$folder/$(basename "$kernel" .cpp).o"
done
$compiler $flags -static tests/kernel_check.cpp csrc/out_of_memory.cpp "$folder"/selective_scan_kernel.o -o "$folder/check"
${NEON_RUN:-qemu-aarch64} "$folder/check"
exhaustive=tests/exhaustive
$compiler $flags -DSSAMBA_KERNEL_ISA=baseline -c $exhaustive/level.cpp -o "$folder/level.o"
$compiler $flags -static -pthread $exhaustive/check.cpp csrc/cpu/isa.cpp "$folder/level.o" -o "$folder/check_floats"
${NEON_RUN:-qemu-aarch64} "$folder/check_floats" --every 1021
