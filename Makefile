# Python 3.10 to 3.12, pip and make are all it takes; everything else goes into .venv.
SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.10 python3; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)
DATASET ?= digits
DATA_DIR ?=
STEPS ?=
RECIPE := models/bcdnet_b_$(DATASET)/recipe.yaml
RUN := demo/$(DATASET)$(if $(STEPS),-$(STEPS))
SETTINGS := $(if $(DATA_DIR),data.data_dir=$(DATA_DIR)) $(if $(STEPS),stages.*.iterations=$(STEPS))

BIN := .venv/bin

.PHONY: demo docs notebooks test test-docs test-zoo test-drawn test-pytorch test-system \
	test-runtime test-aarch64 test-runtimes test-all bench bench-data bench-runtime bench-train \
	bench-trained tables lint format release clean

# The recipe of a BCDNet-B: trained, converted, and both models evaluated. An interrupted
# training goes on; one that is done is not done again. STEPS are those of each stage.
demo: .venv/installed-digits $(if $(filter digits,$(DATASET)),demo/images)
	$(BIN)/larq-bcd train $(RECIPE) --output $(RUN) $(SETTINGS)
	$(BIN)/lce_convert $(RUN)/model.keras --force -o $(RUN)/model.tflite \
		--report $(RUN)/report.json --recipe $(RUN)/recipe.yaml
	$(BIN)/larq-bcd evaluate $(RUN)/model.keras --force --json $(RUN)/keras.json \
		--recipe $(RUN)/recipe.yaml
	$(BIN)/larq-bcd evaluate $(RUN)/model.tflite --force --json $(RUN)/tflite.json \
		--recipe $(RUN)/recipe.yaml
	$(BIN)/python benchmarks/demo_table.py $(RUN) demo/results.json

demo/images: models/bcdnet_b_digits/digits.py .venv/installed-digits
	$(BIN)/python $< $@
	touch $@

test: .venv/installed-zoo
	$(BIN)/python -m pytest -n 2 tests --ignore tests/pytorch --ignore tests/system \
		--ignore tests/docs

# Each network of Larq Zoo: converted, and run by the runtime and by Larq Compute Engine.
test-zoo: .venv/installed-zoo .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python -m pytest -m slow tests/convert/test_larq_zoo.py

# Networks that are drawn at random, in parts by family and seed: what became of each.
test-drawn: .venv/installed-dev .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python -m pytest -m slow tests/convert/test_drawn_networks.py

# Apart, because PyTorch may be several GB: the official checkpoints against PyTorch itself, and
# the way from one to the runtime.
test-pytorch: .venv/installed-pytorch .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python -m pytest -n 2 tests/pytorch

# Apart, because it needs packages of the system: the page of a conversion in a browser, the
# file in Netron, and in the compiler and the verifier of flatbuffers; the Kotlin of Android.
test-system: .venv/installed-dev
	@command -v chromium >/dev/null && command -v flatc >/dev/null && \
		command -v kotlinc >/dev/null && command -v javac >/dev/null && \
		command -v g++ >/dev/null && test -f /usr/include/flatbuffers/flatbuffers.h || \
		{ apt-get update -q && apt-get install -y -q --no-install-recommends \
		chromium flatbuffers-compiler libflatbuffers-dev g++ kotlin default-jdk-headless; }
	$(BIN)/python -m pytest tests/system

# The device side, against Larq Compute Engine's own interpreter; on aarch64 under qemu, and
# linked for Android.
test-runtime: .venv/installed-runtime
	PYTEST_ADDOPTS='-n 2' $(MAKE) -C convert/runtime test PYTHON=$(CURDIR)/$(BIN)/python

test-aarch64: .venv/installed-runtime
	$(MAKE) -C convert/runtime test-aarch64 check-android PYTHON=$(CURDIR)/$(BIN)/python

# Its wheel on each of the runtimes that it supports, from the oldest to the newest.
test-runtimes: .venv/installed-runtime
	$(MAKE) -C convert/runtime test-runtimes PYTHON=$(CURDIR)/$(BIN)/python

# The site, in build/site.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The notebooks anew, with what they print and draw.
notebooks: .venv/installed-docs .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	mkdir -p build/notebooks && cp docs/notebooks/*.ipynb build/notebooks
	cd build/notebooks && TF_CPP_MIN_LOG_LEVEL=3 IPYKERNEL_CELL_NAME=cell \
		$(CURDIR)/$(BIN)/jupyter-nbconvert --execute --to notebook --inplace \
		--ExecutePreprocessor.record_timing=False *.ipynb
	cp build/notebooks/*.ipynb docs/notebooks

# The programs and the command lines of all pages, and the site.
test-docs: .venv/installed-docs .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python -m pytest -n 2 tests/docs

# Operators, sizes, latencies and agreement of every network before and after the passes,
# into docs/benchmarks.md. An interrupted run goes on; start anew with `rm -r build`.
bench: .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python benchmarks/conversion.py --page docs/benchmarks.md

bench-runtime: .venv/installed-runtime
	$(MAKE) -C convert/runtime bench PYTHON=$(CURDIR)/$(BIN)/python

# A training step beside plain larq's and PyTorch's, and part by part; the input pipeline beside a
# network.
bench-train: .venv/installed-pytorch
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/train_parts.py

bench-data: .venv/installed-dev
	$(BIN)/python benchmarks/data.py

# What was trained, its accuracy over BOPs and latency, as a table and a picture of the docs.
bench-trained: .venv/installed-runtime
	$(BIN)/python -m pip install --quiet --no-deps ./convert/runtime
	$(BIN)/python benchmarks/trained.py docs/networks/trained

# And the large grids, and every supported TensorFlow in an environment of its own, resolved by
# pip alone.
test-all: test test-docs test-zoo test-pytorch test-system test-runtime test-aarch64 test-runtimes
	$(BIN)/python -m pytest -m slow tests --ignore tests/pytorch --ignore tests/system \
		--ignore tests/docs --ignore tests/convert/test_larq_zoo.py
	$(BIN)/python -m pytest -m slow tests/pytorch
	$(BIN)/python .ci/stacks.py

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd convert/runtime && $(CURDIR)/$(BIN)/ruff check . && $(CURDIR)/$(BIN)/ruff format --check .

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a release uploads, into dist/: built, checked, and tried in empty environments.
release: .venv/bin/python
	$(BIN)/python .ci/release.py

# The table of networks, computed anew, and that of what converts.
tables: .venv/installed-dev
	$(BIN)/python -m larq_bcd.summary.table docs/networks/index.md
	$(BIN)/python tests/what_converts.py README.md

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "There is no Python 3.10, 3.11 or 3.12 here: install one, \
	or name it, as in make PYTHON=/path/to/python3.11 demo"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed-%: setup.cfg pyproject.toml .venv/bin/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	@echo "Installing TensorFlow, larq, Larq Compute Engine and what they need ..."
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

# Without what they ask for, which does not go with TensorFlow: see [zoo] in setup.cfg.
.venv/installed-zoo: tests/larq_zoo.txt .venv/installed-dev
	$(BIN)/python -m pip install --quiet --no-deps --requirement $<
	touch $@

# Exactly one release: where its CPU build is at hand, a range would not be content with it.
.venv/installed-pytorch: .venv/installed-dev
	$(BIN)/python -m pip install --quiet torch==2.13.0 --editable '.[pytorch]'
	touch $@

.venv/installed-runtime: .venv/installed-dev
	$(BIN)/python -m pip install --quiet 'ai-edge-litert>=1.2'
	touch $@

clean:
	rm -rf .venv demo build dist .cache *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
