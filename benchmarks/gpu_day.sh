#!/usr/bin/env bash
# Everything that only a GPU can show, in one run: benchmarks/gpu_day.sh [--rehearse] [--out FOLDER] [--steps a,b,c]
#
# Each step has a time limit and a log of its own in the folder, a step that fails does not stop the next, and a run that
# was cut short goes on where it stopped: steps that succeeded are not repeated. What takes no times runs side by side.
# --rehearse goes the same way without a GPU: on the emulator, on the CPU, with small sizes.
#
# It uses the python on PATH, whose torch must be a CUDA build, and leaves it with this library installed in it.
set -uo pipefail
cd "$(dirname "$0")/.."

out=benchmarks/results/gpu rehearse= wanted=
while (($#)); do
  case $1 in
    --rehearse) rehearse=1 ;;
    --out) out=$2; shift ;;
    --steps) wanted=,$2,; shift ;;
    *) echo "gpu_day: there is no option $1; see the head of $0" >&2; exit 2 ;;
  esac
  shift
done
mkdir -p "$out/logs"
out=$(cd "$out" && pwd)
python=${PYTHON:-python3}
failed=0

# step NAME SECONDS COMMAND: runs it unless it is done or not wanted.
step() {
  local name=$1 limit=$2 begin=$SECONDS code
  [[ -z $wanted || $wanted == *,$name,* ]] || return 0
  if [[ -e $out/logs/$name.done ]]; then echo "gpu_day: $name was done before"; return 0; fi
  timeout --kill-after=10 "$limit" bash -o pipefail -c "$3" >"$out/logs/$name.log" 2>&1
  code=$?
  if ((code == 0)); then
    touch "$out/logs/$name.done"
    echo "gpu_day: $name, $((SECONDS - begin)) s"
    return 0
  fi
  ((code == 124)) && why="ran longer than $limit s" || why="exit code $code"
  echo "gpu_day: $name FAILED after $((SECONDS - begin)) s ($why); the end of $out/logs/$name.log:"
  tail -n 15 "$out/logs/$name.log" | sed 's/^/    /'
  return 1
}
# Several steps side by side: each a call of `step`, as a string.
together() {
  local ids=() id
  for call in "$@"; do eval "$call" & ids+=($!); done
  for id in "${ids[@]}"; do wait "$id" || failed=1; done
}
alone() { step "$@" || failed=1; }

export out python
if [[ $rehearse ]]; then
  # The emulator watches memory, races and barriers by itself, under the address sanitizer.
  alone environment 60 'uname -sr; $python --version; $python -c "import torch; print(torch.__version__)"; nvcc --version || echo no nvcc'
  alone build 900 'cmake -Stests/simt -Bbuild/simt -GNinja -DSSAMBA_TORCH_DIR="$($python -c "import pathlib, torch; print(pathlib.Path(torch.__file__).parent)")" && cmake --build build/simt'
  alone tests 600 'tests/simt/run.sh $python -q tests/ops/test_patch_mask.py -k "matches_reference and 50"'
  alone golden 600 '$python -m pytest -q -p no:cacheprovider tests/encoder/test_published_forward.py'
  alone memcheck 600 'tests/simt/run.sh $python -q tests/ops/test_bi_scan.py -k "matches_reference and 33"'
  alone ops 300 '$python benchmarks/gpu.py --rehearse --seconds 60 --output $out/ops.json && $python benchmarks/report.py $out/ops.json >$out/ops.md'
  alone model 300 '$python -m ssamba bench --device cpu --parts encoder --tokens 40 --budget 1 --providers "ssamba,SSAST sdpa" --out $out/model'
  alone training 300 '$python benchmarks/gpu_training.py --device cpu --steps 2 --seeds 0 --frames 128 --output $out/training.json'
  alone predictions 60 '$python benchmarks/gpu_predictions.py $out/ops.json | tee $out/predictions.md'
else
  # compute-sanitizer sees what lies beyond a tensor only where each has an allocation of its own.
  sanitize='PYTORCH_NO_CUDA_MEMORY_CACHING=1 SSAMBA_UNCHECKED=1 compute-sanitizer --error-exitcode 9 --tool'
  once='$python -m pytest -q -p no:cacheprovider -m cuda tests/cuda/test_every_op_once.py'
  alone environment 60 'nvidia-smi; nvcc --version; $python -c "import torch; print(torch.__version__, torch.cuda.get_device_name())"'
  alone build 600 'arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .); SSAMBA_CUDA=1 SSAMBA_CUDA_ARCHS=$arch $python -m pip install --no-deps --no-build-isolation --no-index --editable . && $python -m ssamba doctor'
  together \
    "step tests 420 '\$python -m pytest -q -p no:cacheprovider -m cuda tests -n 6'" \
    "step memcheck 300 '$sanitize memcheck $once'" \
    "step racecheck 300 '$sanitize racecheck $once'" \
    "step initcheck 300 '$sanitize initcheck $once'" \
    "step synccheck 300 '$sanitize synccheck $once'" \
    "step training 420 '\$python benchmarks/gpu_training.py --seconds 380 --output \$out/training.json'"
  alone golden 120 '$python -m pytest -q -p no:cacheprovider -m cuda tests/encoder'
  alone ops 240 '$python benchmarks/gpu.py --seconds 150 --output $out/ops.json && $python benchmarks/report.py $out/ops.json >$out/ops.md'
  alone model 150 '$python -m ssamba bench --device cuda --parts encoder,pretraining --dtypes float32,bfloat16 --tokens 513,4096,22528 --batch 1,8 --providers "ssamba,ssamba sequential,SSAST sdpa" --budget 2 --quiet --out $out/model'
  alone predictions 60 '$python benchmarks/gpu_predictions.py $out/ops.json | tee $out/predictions.md'
fi
exit $failed
