# make demo [INPUT=scan.nii.gz]   segment a head MR; demo/ then holds what the commands of the README read
# make environment                .venv with all that tests and benchmarks need; then: . .venv/bin/activate
# make test                       the whole test suite
# make coverage                   the same, and which lines no test runs (takes twice as long)
# make check                      format, lint, types, layers, counts
# make docs                       the pages, in build/docs
# make fuzz [FUZZ=nrrd]           hostile and changed files at every door, 3,000 each (some minutes)
# make tour [LEARN_FROM=folder]   the pictures of the panel, made in the test host; those of Train from images and labels
# make train LABEL_MAPS=folder    train brain-mr anew from label maps (hours); Ctrl-C saves, the same command goes on
# make benchmarks                 what needs no data: start, memory, latency, the panel
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

.PHONY: demo environment test coverage check docs fuzz tour train benchmarks colin27 dicom3tools clean

$(VENV)/library: pyproject.toml requirements/ci.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dicom]'
	touch $@

$(VENV)/developer: $(VENV)/library $(wildcard requirements/*.txt)
	$(PIP_INSTALL) --requirement requirements/check.txt --requirement requirements/test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements/peers.txt
	touch $@

$(VENV)/pages: $(VENV)/library requirements/docs.txt
	$(PIP_INSTALL) --requirement requirements/docs.txt
	touch $@

demo: $(VENV)/library $(filter $(COLIN27)/ch2.nii.gz,$(INPUT))
	$(BIN)/python scripts/make_sample.py "$(INPUT)" demo
	cd demo && ../$(BIN)/deepsegment segment head.nii.gz head.seg.nrrd --report head.json --preview head.png --replace

environment: $(VENV)/developer

test: $(VENV)/developer
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

coverage: $(VENV)/developer
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered $(TESTS)

check: $(VENV)/developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/count_code.py

docs: $(VENV)/pages
	$(BIN)/python -m sphinx --quiet --fail-on-warning --fresh-env -b html -d build/doctrees docs build/docs
	$(BIN)/python scripts/check_site.py build/docs

fuzz: $(VENV)/developer
	PYTHONPATH=Testing:. $(BIN)/python -m fuzz --json $(if $(FUZZ),$(CACHE)/fuzz.json $(FUZZ),Testing/benchmarks/results/fuzz.json)

tour: $(VENV)/developer $(COLIN27)/ch2.nii.gz
	$(BIN)/python Testing/host/tour.py $(COLIN27)/ch2.nii.gz Resources/Screenshots
	$(BIN)/python Testing/host/model_tour.py Resources/Screenshots
	$(if $(LEARN_FROM),$(BIN)/python Testing/host/learning_tour.py $(LEARN_FROM) Resources/Screenshots)

train: $(VENV)/library
	$(BIN)/deepsegment train-synthetic Resources/Recipes/brain-mr.json "$(LABEL_MAPS)" $(CACHE)/brain-mr --checkpoint $(CACHE)/brain-mr.pt

benchmarks: $(VENV)/developer
	$(BIN)/python Testing/benchmarks/start.py
	$(BIN)/python Testing/benchmarks/memory.py --shape 200 512 512
	$(BIN)/python Testing/benchmarks/correction/latency.py
	$(BIN)/python Testing/benchmarks/panel.py

colin27: $(COLIN27)/ch2.nii.gz

$(COLIN27)/ch2.nii.gz:
	sh scripts/get_colin27.sh $(COLIN27)

dicom3tools: $(CACHE)/dicom3tools/dciodvfy

$(CACHE)/dicom3tools/dciodvfy:
	sh scripts/get_dicom3tools.sh $(CACHE)/dicom3tools

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
