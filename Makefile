# make reproduce runs the chain and ends with the path of the report; make test runs the tests. Both need Python 3.11+.
PROFILE   ?= quick
TASKS     ?= llie_lol llie_mit sihr uie
DATA      ?=
SEED      ?= 0
SEEDS     ?= $(SEED)
JOBS      ?= 1
DEVICE    ?= auto
RESULTS   ?= results
OVERRIDES ?=
ABLATIONS ?=
METHODS   ?=
PYTHON    ?= .venv/bin/python

OPTIONS = profile=$(PROFILE) "tasks=$(TASKS)" "data=$(DATA)" "seeds=$(SEEDS)" device=$(DEVICE) "results=$(RESULTS)" "overrides=$(OVERRIDES)" \
          "ablations=$(ABLATIONS)"
CHECK   = --profile "$(PROFILE)" --tasks "$(TASKS)" --data "$(DATA)" --seeds "$(SEEDS)" --device "$(DEVICE)" --overrides "$(OVERRIDES)" --ablations "$(ABLATIONS)"
READY   = $(if $(filter .venv/%,$(PYTHON)),.venv/ready)
export PYTHONPATH := $(CURDIR)
export HBL_METHODS := $(METHODS)

.PHONY: help reproduce tables test lint lab clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

reproduce: $(READY)  ## run the chain (PROFILE= TASKS= ABLATIONS= DATA= METHODS= SEEDS= JOBS= DEVICE= RESULTS= OVERRIDES=)
	@$(PYTHON) -m hbl_lib check $(CHECK)
	@$(PYTHON) -m snakemake --cores $(JOBS) --quiet progress rules --rerun-incomplete --nolock --config $(OPTIONS)
	@echo "$(RESULTS)/$(PROFILE)/report.html"

tables: $(READY)  ## write tables and figures anew from what runs left (PROFILE= TASKS= SEEDS= RESULTS=); trains nothing
	@$(PYTHON) -m hbl_lib tables --profile "$(PROFILE)" --tasks "$(TASKS)" --seeds "$(SEEDS)" --results "$(RESULTS)"

test: $(READY)  ## run the tests
	@$(PYTHON) -m pytest

lint: $(READY)  ## check style and formatting, notebooks too
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check .

lab: $(READY)  ## open the notebooks in JupyterLab
	@$(PYTHON) -m jupyterlab notebooks

clean:  ## remove the environment and what runs wrote (not results/reference)
	rm -rf .venv .snakemake results/smoke results/quick results/paper

.venv/ready: requirements.lock pyproject.toml
	python3 -m venv .venv
	awk '/^uv==/{p=1} p{print} p&&!/\\$$/{exit}' requirements.lock > .venv/uv.lock
	.venv/bin/python -m pip install --quiet --require-hashes --requirement .venv/uv.lock
	.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes --requirement requirements.lock
	.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	touch .venv/ready
