#!/usr/bin/env bash
# Builds the check of the functions of one float in the folder $1 and runs it; what follows are its options.
set -euo pipefail
build=$1
cmake -S"$(dirname "$0")" -B"$build" -GNinja >/dev/null
cmake --build "$build" >"$build/log" || { cat "$build/log"; exit 1; }
"$build/check" "${@:2}"
