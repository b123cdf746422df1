# make demo [INPUT=scan.nii.gz]   segment a head MR and show it
# make test                       the whole test suite
# make check                      format, lint, types, layers, counts
# make fuzz [FUZZ=nrrd]           hostile and changed files at every door, 3,000 each (some minutes)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
COLIN27 := $(CACHE)/colin27
# CONSTRAINTS= (empty) takes whatever torch pip offers, with CUDA where that is the default.
CONSTRAINTS ?= requirements/ci.txt
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
# A process for each processor, of at most 8: some take 1 GB. Whole files go to one process, as the tests of a file share
# what is dear to make; in the order of the folders, as the longest ones come first.
SIDE_BY_SIDE := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
INPUT ?= $(COLIN27)/ch2.nii.gz
DEMO = $(firstword $(subst ., ,$(notdir $(INPUT))))

.PHONY: demo test check fuzz colin27 dicom3tools clean

$(VENV)/library: pyproject.toml requirements/ci.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/developer: $(VENV)/library $(wildcard requirements/*.txt)
	$(PIP_INSTALL) --requirement requirements/check.txt --requirement requirements/test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/peers.txt
	touch $@

demo: $(VENV)/library $(filter $(COLIN27)/ch2.nii.gz,$(INPUT))
	mkdir -p demo
	$(BIN)/deepsegment segment "$(INPUT)" demo/$(DEMO).seg.nrrd --model brain-mr --report demo/$(DEMO).json --preview demo/$(DEMO).png --replace

test: $(VENV)/developer
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered $(TESTS)

check: $(VENV)/developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/count_code.py

fuzz: $(VENV)/developer
	PYTHONPATH=Testing:. $(BIN)/python -m fuzz --json $(if $(FUZZ),$(CACHE)/fuzz.json $(FUZZ),Testing/benchmarks/results/fuzz.json)

colin27: $(COLIN27)/ch2.nii.gz

$(COLIN27)/ch2.nii.gz:
	sh scripts/get_colin27.sh $(COLIN27)

dicom3tools: $(CACHE)/dicom3tools/dciodvfy

$(CACHE)/dicom3tools/dciodvfy:
	sh scripts/get_dicom3tools.sh $(CACHE)/dicom3tools

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
