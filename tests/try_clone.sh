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

# Both ways to start pytest: the first puts the clone's root on the path, the second leaves that to pyproject.toml.
tried() {
  "$@" >tried || { tail -40 tried; exit 1; }
}
scripts=$(dirname "$python")
tried "$python" -m pytest --benchmark-only -k "sample_patch_mask and ssamba"
tried "$scripts/pytest" --benchmark-only -k "sample_patch_mask and ssamba"
tried "$scripts/pytest" tests/ops/test_patch_mask.py -k matches_reference
tried "$scripts/pytest" --quiet --collect-only
echo "// changed" >>csrc/ops.cpp
if "$python" -c "import ssamba_ops" 2>said; then
  echo "kernels of other sources were taken"
  exit 1
fi
grep --quiet 'built from other sources. Run `pip install .` in the clone again' said || { cat said; exit 1; }
echo "the clone works: $(tail -1 tried)"
