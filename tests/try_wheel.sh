#!/usr/bin/env bash
# Installs the wheel in dist/ into an empty environment and uses it from an empty folder, then from a clone.
set -euo pipefail
python=$1 torch=$2 clone=$PWD
wheel=$(ls "$PWD"/dist/*.whl)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "$torch" "$wheel"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import torch

import ssamba
import ssamba_ops

assert "torchaudio" not in sys.modules
u, delta = torch.randn(2, 1, 64, 8), torch.rand(2, 1, 64, 8)
A, B, C = -torch.rand(2, 8, 16), torch.randn(2, 1, 64, 16), torch.randn(2, 1, 64, 16)
out = torch.ops.ssamba.bi_scan(u, delta, A, B, C)
torch.testing.assert_close(out, ssamba_ops.reference.bi_scan(u, delta, A, B, C), rtol=1e-4, atol=1e-4)
model = ssamba.SSAMBA(ssamba.SSAMBAConfig.tiny(depth=2, input_tdim=64))
features = model.extract(torch.randn(16000).numpy(), 16000)
assert torch.isfinite(features).all()
print("the wheel works:", ssamba_ops.current_cpu_isa(), tuple(features.shape))
PYTHON
venv/bin/ssamba doctor
cd "$clone"
tests/try_clone.sh "$folder/venv/bin/python"
