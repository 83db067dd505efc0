# Each target makes what it needs, and is quick the second time.
# On Windows, or without make: see "Without make" in README.md.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
HAS_GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L >/dev/null 2>&1 && echo yes)

# where the benchmark finds a multilingual Whisper and a folder with train.jsonl and test.jsonl; without them it makes up both
BENCH_MODEL ?= $(wildcard ../shared/models/whisper-tiny)
BENCH_DATA ?= $(wildcard ../shared/data/prompts-en)
BENCH := $(BIN)/python benchmarks/whisper_training.py

# NeMo judges what is made of its models; it brings 3 GB along, so it has an environment of its own
NEMO_VENV := .venv-nemo
NEMO_PIP := $(NEMO_VENV)/bin/python -m pip --disable-pip-version-check

# the newest transformers, which replaces parts of the Trainer and of networks with each release; laid over $(VENV)
NEWEST ?= transformers==5.24.0

.PHONY: demo test test-exports test-nemo test-newest lint types docs check bench bench-gpu clean

demo: $(VENV)/.installed
	$(BIN)/eartune demo

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not runtimes"

# exports of real models in the programs they are for: whisper.cpp, faster-whisper, onnxruntime, sherpa-onnx, ...
test-exports: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m runtimes

# what we read and write of NeMo's models, compared with NeMo itself
test-nemo: $(NEMO_VENV)/.installed
	OMP_NUM_THREADS=1 $(NEMO_VENV)/bin/python -m pytest -m nemo tests/nemo/judge

# training and every family with the newest transformers
test-newest: $(VENV)/newest/.installed
	OMP_NUM_THREADS=1 PYTHONPATH=$(abspath $(VENV)/newest) $(BIN)/python -m pytest -n 2 --dist loadgroup tests/training \
		tests/families/test_contract.py tests/verbs/test_train.py tests/verbs/test_divergence.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/shellcheck scripts/*.sh .ci/run

types: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed
	$(BIN)/python scripts/write_reference.py

# about ten minutes on two cores; writes runs/bench/whisper_training.json
bench: $(VENV)/.installed-dev
	$(BENCH) $(if $(BENCH_MODEL),--model $(BENCH_MODEL)) $(if $(BENCH_DATA),--data $(BENCH_DATA)) --rounds 2 --train-clips 192 \
		--block-seconds 8

# random weights and made-up clips of 5 s: what counts is time and memory
bench-gpu: $(VENV)/.installed-dev
	$(BENCH) --random-weights whisper-small --clips-per-step 192 --clips-per-pass 64 --train-clips 768 --rounds 3 \
		--out runs/bench/whisper_small_gpu.json
	$(BENCH) --random-weights whisper-large-v3 --contenders peft lora --clips-per-step 64 --clips-per-pass 16 --train-clips 256 \
		--rounds 3 --evaluation-rounds 0 --out runs/bench/large_v3_gpu.json

# what CI does; that the generated documentation is current is one of the tests
check: lint types test test-newest test-exports

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "eartune needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
ifeq ($(HAS_GPU),yes)
	$(PIP) install --quiet -c constraints.txt $(TORCH)
else
	@# the CPU build where the index has it under its own version, else whatever the index gives
	$(PIP) install --quiet -c constraints.txt $(TORCH)+cpu 2>/dev/null || $(PIP) install --quiet -c constraints.txt $(TORCH)
endif
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml
	@# the demonstration ends with exports, in the programs they are for
	$(PIP) install --quiet -c constraints.txt -e '.[whisper-cpp,ctranslate2]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/newest/.installed: $(VENV)/.installed-dev Makefile
	$(PIP) install --quiet --no-deps --upgrade --target $(VENV)/newest '$(NEWEST)'
	touch $@

$(NEMO_VENV)/.installed: constraints-nemo.txt pyproject.toml
	$(PYTHON) -m venv $(NEMO_VENV)
	$(NEMO_PIP) install --quiet --upgrade pip
	@# the CPU build does: the judge runs no GPU
	$(NEMO_PIP) install --quiet -c constraints-nemo.txt $(TORCH)+cpu 2>/dev/null || \
		$(NEMO_PIP) install --quiet -c constraints-nemo.txt $(TORCH)
	$(NEMO_PIP) install --quiet -c constraints-nemo.txt 'nemo_toolkit[asr]==3.0.0' -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(NEMO_VENV) build dist .pytest_cache .mypy_cache .ruff_cache
