# make reproduce runs the chain and ends with the path of the report; make test runs the tests. Both need Python 3.11+.
KNOWN = PROFILE TASKS DATA SEED SEEDS JOBS DEVICE RESULTS OVERRIDES ABLATIONS STUDIES VARIANTS METHODS PYTHON
# What was given is a value: $(shell ...) in it is not run.
$(foreach name,$(KNOWN),$(if $(filter undefined default,$(origin $(name))),,$(eval override $(name) := $$(value $(name)))))

PROFILE   ?= quick
TASKS     ?= llie_lol llie_mit sihr uie
DATA      ?=
SEED      ?= 0
ifndef SEEDS
override SEEDS := $(SEED)
endif
JOBS      ?= auto
DEVICE    ?= auto
RESULTS   ?= results
OVERRIDES ?=
ABLATIONS ?=
STUDIES   ?=
VARIANTS  ?=
METHODS   ?=
PYTHON    ?= .venv/bin/python

READY   = $(if $(filter .venv/%,$(PYTHON)),.venv/ready)
export PYTHONPATH := $(CURDIR)

UNKNOWN := $(filter-out $(KNOWN),$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
$(if $(UNKNOWN),$(error no setting $(UNKNOWN); there are: $(KNOWN)))

# Settings travel by the environment: a shell would read quotes, blanks and backticks of a path as its own.
SETTINGS = PROFILE TASKS DATA SEEDS JOBS DEVICE RESULTS OVERRIDES ABLATIONS STUDIES VARIANTS METHODS
$(foreach name,$(SETTINGS),$(eval export HBL_RUN_$(name) := $$(value $(name))))

.PHONY: help reproduce tables test soak bench docs lint lab clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

reproduce: $(READY)  ## run the chain (PROFILE= TASKS= ABLATIONS= STUDIES= VARIANTS= DATA= METHODS= SEEDS= JOBS= DEVICE= RESULTS= OVERRIDES=)
	@$(PYTHON) -m hbl_lib check --profile "$$HBL_RUN_PROFILE" --tasks "$$HBL_RUN_TASKS" --data "$$HBL_RUN_DATA" \
	  --seeds "$$HBL_RUN_SEEDS" --device "$$HBL_RUN_DEVICE" --results "$$HBL_RUN_RESULTS" \
	  --overrides "$$HBL_RUN_OVERRIDES" --ablations "$$HBL_RUN_ABLATIONS" --studies "$$HBL_RUN_STUDIES" --variants "$$HBL_RUN_VARIANTS" --methods "$$HBL_RUN_METHODS" \
	  --jobs "$$HBL_RUN_JOBS"
	@cores=$$($(PYTHON) -m hbl_lib jobs "$$HBL_RUN_JOBS" --profile "$$HBL_RUN_PROFILE" --device "$$HBL_RUN_DEVICE" \
	    --overrides "$$HBL_RUN_OVERRIDES") && \
	  $(PYTHON) -m hbl_lib alone "$$HBL_RUN_RESULTS/$$HBL_RUN_PROFILE" $(PYTHON) -m snakemake --cores "$$cores" \
	  --quiet rules --rerun-incomplete --nolock
	@echo "$$HBL_RUN_RESULTS/$$HBL_RUN_PROFILE/report.html"

tables: $(READY)  ## write tables and figures anew from what runs left (PROFILE= TASKS= SEEDS= RESULTS=); trains nothing
	@$(PYTHON) -m hbl_lib tables --profile "$$HBL_RUN_PROFILE" --tasks "$$HBL_RUN_TASKS" --seeds "$$HBL_RUN_SEEDS" \
	  --results "$$HBL_RUN_RESULTS"

test: $(READY)  ## run the tests
	@$(PYTHON) -m pytest

soak: $(READY)  ## run the tests that take long: kills, rubbish, load and browsers
	@$(PYTHON) -m pytest -m soak -n 0 -s
	@$(PYTHON) -m pytest tests/test_fuzz.py -n 0 --hypothesis-profile=soak
	@$(PYTHON) -m pytest tests/test_browser.py -n 0 -m "soak or not soak"

bench: $(READY)  ## measure speed and memory against plain references (ten minutes; alone on the machine), into RESULTS
	@$(PYTHON) -m benchmarks --out "$$HBL_RUN_RESULTS/bench"

docs: $(READY)  ## write pages of the library's public names into the results folder of PROFILE (RESULTS=)
	@$(PYTHON) -m pdoc hbl_lib '!hbl_lib.__main__' --docformat markdown --output-directory "$$HBL_RUN_RESULTS/$$HBL_RUN_PROFILE/docs"
	@echo "$$HBL_RUN_RESULTS/$$HBL_RUN_PROFILE/docs/hbl_lib.html"

lint: $(READY)  ## check style and formatting, notebooks too
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(PYTHON) -m jupyterlab notebooks

clean:  ## remove the environment and what runs wrote (not results/reference)
	rm -rf .venv .snakemake results/smoke results/quick results/real results/paper

.venv/ready: requirements.lock pyproject.toml
	@python3 -c 'import sys; sys.exit(f"python3 is {sys.version.split()[0]}; 3.11 to 3.13 is needed. Put one first in PATH, or name an interpreter that has the packages: PYTHON=" if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	python3 -m venv --clear .venv
	awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' requirements.lock > .venv/uv.lock
	.venv/bin/python -m pip install --quiet --require-hashes --requirement .venv/uv.lock
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes --requirement requirements.lock
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch .venv/ready
