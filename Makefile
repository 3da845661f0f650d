# The project's commands. Each sets up what it needs in .venv; nothing is installed outside it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: help demo test simt cuda machine-code gpu-rehearsal bench bench-ops bench-smoke lint format audit sanitize mutants exhaustive large neon wheel clean

CXX_SOURCES = $(shell find csrc tests python -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

help:
	@echo "make demo          pretrain, fine-tune and evaluate on speech made on the spot; QUICK=1 for the short run"
	@echo "make test          the whole test suite"
	@echo "make simt          the CUDA kernels on an emulated GPU, under the address sanitizer (part of make test)"
	@echo "make cuda          compile the CUDA kernels for one GPU (ARCH=90); registers of each, and no spills"
	@echo "make machine-code  compile them for ARCHS=\"80 90 100\" and check what nvcc made against tests/machine_code/budget.json"
	@echo "make gpu-rehearsal benchmarks/gpu_day.sh, which checks and times everything on a GPU, without one and with small sizes"
	@echo "make bench         time and memory of model and ops beside their peers and floors (ssamba bench)"
	@echo "make bench-ops     every op on more shapes (pytest --benchmark-only)"
	@echo "make lint          ruff and clang-format in check mode;  make format applies both"
	@echo "make audit         is the op library free of symbols that tie it to one torch?"
	@echo "make sanitize      the op tests under the address and undefined-behaviour sanitizers"
	@echo "make mutants       single faults planted in the kernels, one at a time: do the tests notice? an hour or more"
	@echo "make exhaustive    exp2 and softplus of all 2^32 floats, at every instruction set that this processor runs: minutes"
	@echo "make large         the ops on the CPU with results of more than 2^31 elements: minutes, 15 GB"
	@echo "make neon          the kernels compiled for 64-bit ARM, the scan run under an emulator"
	@echo "make wheel         sdist and wheel, the wheel tried in an empty environment and from a clone"

# setuptools' editable install calls CMake, which rebuilds what has changed.
$(VENV)/ready: pyproject.toml setup.py CMakeLists.txt $(shell find csrc -type f 2>/dev/null)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet "setuptools>=77" wheel "cmake>=3.22" ninja "pybind11>=2.13" numpy
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[dev]"
	touch $@

demo: $(VENV)/ready
	$(BIN)/ssamba demo $(if $(QUICK),--quick) $(ARGS)

# STRICT=1 fails if a test is skipped for a reason that is not expected here (tests/skips.py).
test: $(VENV)/ready
	$(BIN)/python -m pytest tests -n 2 $(if $(STRICT),--no-unexpected-skips) $(ARGS)
	$(if $(ARGS),,$(MAKE) simt)

# The CUDA kernels' source, compiled for the host. ARGS selects tests: ARGS="tests/ops/test_bi_conv1d.py -k lengths".
simt: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" tests/simt/run.sh $(BIN)/python $(or $(ARGS),-n 2 $(if $(STRICT),--no-unexpected-skips))

# Needs nvcc, but no GPU.
cuda: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" tests/cuda_build.sh $(BIN)/python $(or $(ARCH),90)

# Needs nvcc, cuobjdump and nvdisasm, but no GPU. ARGS are check.py's: ARGS='--update --reason "..."'.
machine-code: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" tests/machine_code/run.sh $(BIN)/python "$(or $(ARCHS),80 90 100)" $(ARGS)

gpu-rehearsal: $(VENV)/ready
	rm -rf build/gpu-rehearsal
	PATH="$(abspath $(BIN)):$$PATH" benchmarks/gpu_day.sh --rehearse --out build/gpu-rehearsal

bench: $(VENV)/ready
	$(BIN)/ssamba bench $(ARGS)

bench-ops: $(VENV)/ready
	$(BIN)/python -m pytest benchmarks --benchmark-only $(ARGS)

bench-smoke: $(VENV)/ready
	$(BIN)/python -m pytest benchmarks --benchmark-disable $(ARGS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CXX_SOURCES)

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_SOURCES)

audit: $(VENV)/ready
	$(BIN)/torch-abi-audit --check torch $(wildcard ssamba_ops/libssamba_*.so)

# A build of its own, put in front of the normal one for this run.
sanitize: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" tests/sanitize.sh $(BIN)/python

# ARGS="--file conv_tile" or --only 101,105 takes a part; a run goes on where another was cut off.
mutants: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=tests $(BIN)/python -m mutants $(ARGS)

# ARGS="--every 1021" takes a sample.
exhaustive: $(VENV)/ready
	PATH="$(abspath $(BIN)):$$PATH" tests/exhaustive/run.sh build/exhaustive $(ARGS)

# About 15 GB of memory.
large: $(VENV)/ready
	$(BIN)/python -m pytest tests/ops/test_large.py -m large $(ARGS)

neon:
	tests/neon.sh

wheel: $(VENV)/ready
	rm -rf dist
	$(BIN)/python -m build
	tests/try_wheel.sh $(PYTHON) "$(TORCH)"

clean:
	rm -rf build dist $(VENV) *.egg-info python/*.egg-info ssamba_ops/*.so
