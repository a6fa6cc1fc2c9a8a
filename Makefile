# make demo: matches a recording, and runs the live bridge over it. make test: checks everything.
# make lint: style and types. make docs: the documentation site. make bench: quick measurements. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
SOURCES := pyproject.toml setup.py $(wildcard ext/*.pyx ext/*/*.c ext/*/*.h)

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.demo
	$(BIN)/inversynth match demo/recording.flac --refine 2 --out out/demo
	@echo
	@echo "The same recording through the live bridge, as MIDI:"
	$(BIN)/inversynth live --file demo/recording.flac --fast --dry-run
	@echo
	@echo "Open out/demo/recording/report.html in a browser: the sounds, the pictures, the knobs."
	@echo "The command inversynth is in $(BIN); this shell finds it after: . $(BIN)/activate"

test: $(VENV)/.test lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Not with --quiet: then MkDocs counts no warnings, and --strict passes whatever is wrong.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open out/site/index.html in a browser."

# Those that need no rivals and no recordings, a minute or two. The docs and their figures stay as they are.
bench: $(VENV)/.test
	$(BIN)/python benchmarks/limit.py
	for name in render scoring play dataset refine confidence; do \
		echo "== benchmarks/$$name.py --quick"; $(BIN)/python benchmarks/$$name.py --quick || exit 1; done

$(VENV)/bin/python:
	scripts/system-packages demo $(PYTHON)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "inversynth needs Python 3.11 or later; try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no venv: on Debian, apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.demo: $(SOURCES) | $(VENV)/bin/python
	@echo "installing inversynth and onnxruntime into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install -q -e '.[cpu]'
	@touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/bin/python
	scripts/system-packages test $(BIN)/python
	@echo "installing inversynth, TensorFlow and the tools of the tests into $(VENV) (some minutes)"
	@$(BIN)/python -m pip install -q -e '.[cpu,train,ray,remote,docs,dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.docs

$(VENV)/.docs: $(SOURCES) | $(VENV)/bin/python
	@echo "installing the tools of the documentation into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install -q -e '.[docs]'
	@touch $@

clean:
	rm -rf build dist out $(VENV)
