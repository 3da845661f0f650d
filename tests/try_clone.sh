#!/usr/bin/env bash
# What a user does at the root of a clone after `pip install .` and `pip install pytest pytest-benchmark`: the folder
# ssamba_ops/ there, which has no kernels, comes before the installed package on the path.
set -euo pipefail
python=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory "$folder"
"$python" -m pip install --quiet pytest pytest-benchmark
cd "$folder"
"$python" -c "import ssamba_ops, ssamba; ssamba_ops.bi_scan"
"$python" -m pytest --quiet --benchmark-only -k "patch_mask and ssamba"
scripts=$(dirname "$python")
"$scripts/pytest" --quiet --collect-only >collected || { tail -40 collected; exit 1; }
"$scripts/pytest" --quiet --benchmark-only --collect-only >/dev/null
"$scripts/pytest" --quiet tests/ops/test_patch_mask.py -k matches_reference
echo "// changed" >>csrc/ops.cpp
if "$python" -c "import ssamba_ops" 2>said; then
  echo "kernels of other sources were taken"
  exit 1
fi
grep --quiet 'built from other sources. Run `pip install .` in the clone again' said || { cat said; exit 1; }
echo "the clone works: $(tail -1 collected)"
