"""The chain as a graph: each rule runs one notebook by papermill. Call it through `make reproduce`.

Checkpoints are never declared as outputs: a failed rule would delete them, and resuming is the library's work.
The executed notebook is written as a log, so that it stays when a stage fails, and copied beside the results at the end.
"""

import hashlib
import os
import shlex
import sys
from pathlib import Path

import yaml

from hbl_lib import variants


def setting(name, default=""):
    """A setting of make's; no config, since Snakemake takes quotes off its values."""
    return os.environ.get(f"HBL_RUN_{name}") or default


PROFILE = setting("PROFILE", "quick")
TASKS = setting("TASKS", "llie_lol llie_mit sihr uie").split()
SEEDS = setting("SEEDS", "0").split()
RESULTS = setting("RESULTS", "results")
DATA, METHODS = setting("DATA"), setting("METHODS")
# Functions, since Snakemake reads braces in a text as wildcards.
OPTIONS = {
    "data": lambda names: shlex.quote(DATA),
    "device": lambda names: shlex.quote(setting("DEVICE", "auto")),
    "overrides": lambda names: shlex.quote(overrides_of(names)),
}
FOLDER = f"{RESULTS}/{PROFILE}"
# A run's folder in FOLDER: a task's own for the first seed, a replica of it for each further one.
RUNS = {task if seed == SEEDS[0] else f"{task}/seed_{seed}": seed for task in TASKS for seed in SEEDS}
# The ledger's variants: a chain of its own for each seed; what a variant is compared with must have run as well.
OF_VARIANTS = {
    f"{task}/{variants.replica(name, '' if seed == SEEDS[0] else f'seed_{seed}')}": seed
    for task in TASKS
    for name in variants.chosen(setting("VARIANTS"), task)
    for seed in SEEDS
}
# Ablations: {notebook: [members]}, each member a job of its own, and one more that shows them all; empty: none are run.
MEMBERS = yaml.safe_load(Path("params/ablations.yaml").read_text()) if setting("ABLATIONS") == "1" else {}
if setting("STUDIES") == "1":  # whose members are the studies of the searches
    MEMBERS |= {"12_search_quality": {name: {"loss": "found"} for name in ("losses", "genotypes")}}
PUBLISHED = yaml.safe_load(Path("params/published/loss.yaml").read_text())["weights"]
LIBRARY = sorted(map(str, [*Path("hbl_lib").rglob("*.py"), *Path("hbl_lib/assets").glob("*"), *Path("params/published").glob("*.yaml")]))
LIBRARY += ["params/ablations.yaml", "params/variants.yaml", "params/recipes.yaml"]
BENCH = Path(RESULTS, "bench/bench.json")

# The notebooks' kernel is the environment that runs this file.
os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "HBL_PREFIX": sys.prefix, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}

# stage -> (stages it reads, what it makes beside metrics.json)
CHAIN = {
    "00_data": ([], ["splits.json"]),
    "01_classifier": (["00_data"], ["classifier.safetensors"]),
    "02_loss_search": (["00_data", "01_classifier"], ["loss.yaml"]),
    "03_architecture_search": (["00_data", "02_loss_search"], ["genotype.yaml"]),
    "04_retrain": (["00_data", "02_loss_search", "03_architecture_search"], ["restorer.safetensors"]),
    "05_evaluate": (["00_data", "03_architecture_search", "04_retrain"], []),
}
PAPERMILL = (
    f"{shlex.quote(sys.executable)} -m hbl_lib notebook {{input.notebook}} {{log:q}} "
    f"profile={shlex.quote(PROFILE)} results={shlex.quote(RESULTS)} "
)
OF_A_RUN = PAPERMILL + " ".join(
    [
        "task={params.task} replica={params.replica} seed={params.seed}",
        "data={params.data} device={params.device} overrides={params.overrides}",
    ]
)
KEEP = " && cp {log:q} {output.notebook:q}"


def made(stage):
    """The declared outputs of a stage."""
    return [f"{FOLDER}/{{run}}/{stage}/{name}" for name in ["metrics.json", "manifest.json", *CHAIN[stage][1]]]


def of_run(names):
    """The parameters files of a run."""
    return [f"params/profiles/{PROFILE}.yaml", f"params/tasks/{task_of(names)}.yaml"]


def task_of(names):
    return names.run.split("/")[0]


def overrides_of(names):
    """OVERRIDES, and what a variant sets besides."""
    of = names.run.split("/")
    own = variants.overrides(of[2], PROFILE) if names.run in OF_VARIANTS else ""
    return ",".join(filter(None, (setting("OVERRIDES"), own)))


def members_of(task):
    """ "ABLATION/MEMBER" of all members; nothing is published of a task of one's own."""
    every = [(ablation, name, facts) for ablation, known in MEMBERS.items() for name, facts in known.items()]
    return [f"{ablation}/{name}" for ablation, name, facts in every if facts["loss"] != "published" or task in PUBLISHED]


# What every notebook of a run is told.
RUN = dict(
    OPTIONS,
    task=task_of,
    replica=lambda names: shlex.quote(names.run.partition("/")[2]),
    seed=lambda names: (RUNS | OF_VARIANTS)[names.run],
    weights=os.environ.get("HBL_WEIGHTS", ""),
)


def state(paths):
    """A parameter that changes with the files' names, sizes and times: a changed picture runs the stage again.

    They are no inputs, since Snakemake reads <, { and line breaks of their names as its own.
    """
    found = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file())
    return hashlib.sha256(repr(found).encode()).hexdigest()


def pictures(names):
    """The state of the folder of pairs that a task works on; the embedded pictures have none."""
    task = yaml.safe_load(Path(f"params/tasks/{task_of(names)}.yaml").read_text())
    folder = Path(DATA or task.get("data", "embedded")).expanduser()
    return state([*folder.glob("*/*"), *folder.glob("groups.json")])


def restored_elsewhere(names):
    """The state of the folders that METHODS names."""
    folders = [Path(word.partition("=")[2]).expanduser() for word in shlex.split(METHODS)]
    return state(path for folder in folders for path in folder.glob("*"))


def given_methods(names):
    return f"methods={shlex.quote(METHODS)}"


wildcard_constraints:
    run=r"[^/]+(/variants/[^/]+)?(/seed_\d+)?",
    ablation="|".join(MEMBERS) or "none",
    member="[^/]+",
    shown="11_ledger|13_recipe",


# The report alone would do; but then a stage whose folder someone removed would not run again.
rule all:
    input:
        f"{FOLDER}/report.html",
        [expand(made(stage), run=[*RUNS, *OF_VARIANTS]) for stage in CHAIN],
        [f"{FOLDER}/{run}/{member}/metrics.json" for run in RUNS for member in members_of(run.split("/")[0])],


for stage, (reads, _) in CHAIN.items():

    rule:
        name:
            stage
        input:
            notebook=f"notebooks/{stage}.ipynb",
            library=LIBRARY,
            parameters=of_run,
            earlier=[path for read in reads for path in made(read)],
        output:
            made(stage),
            notebook=f"{FOLDER}/{{run}}/{stage}/{stage}.ipynb",
        log:
            f"{FOLDER}/{{run}}/logs/{stage}.ipynb",
        params:
            **RUN,
            methods=given_methods if stage == "05_evaluate" else "",
            pictures={"00_data": pictures, "05_evaluate": restored_elsewhere}.get(stage, ""),
        shell:
            OF_A_RUN + " {params.methods}" + KEEP


rule member:
    input:
        notebook="notebooks/{ablation}.ipynb",
        library=LIBRARY,
        parameters=of_run,
        earlier=[path for read in list(CHAIN)[:4] for path in made(read)],
        main=lambda names: made("04_retrain") if names.member == "ours" else [],
    output:
        f"{FOLDER}/{{run}}/{{ablation}}/{{member}}/metrics.json",
        f"{FOLDER}/{{run}}/{{ablation}}/{{member}}/manifest.json",
        notebook=f"{FOLDER}/{{run}}/{{ablation}}/{{member}}/{{ablation}}.ipynb",
    log:
        f"{FOLDER}/{{run}}/logs/{{ablation}}_{{member}}.ipynb",
    params:
        **RUN,
    shell:
        OF_A_RUN + " member={wildcards.member}" + KEEP


rule ablation:
    input:
        notebook="notebooks/{ablation}.ipynb",
        library=LIBRARY,
        members=lambda names: [f"{FOLDER}/{names.run}/{member}/metrics.json" for member in members_of(task_of(names))],
        main=made("05_evaluate"),
    output:
        notebook=f"{FOLDER}/{{run}}/{{ablation}}/{{ablation}}.ipynb",
    log:
        f"{FOLDER}/{{run}}/logs/{{ablation}}.ipynb",
    params:
        **RUN,
    shell:
        OF_A_RUN + " member=all" + KEEP


rule searched_results:
    input:
        notebook="notebooks/08_searched_results.ipynb",
        library=LIBRARY,
        evaluated=[f"{FOLDER}/{task}/05_evaluate/metrics.json" for task in TASKS],
    output:
        f"{FOLDER}/08_searched_results.ipynb",
    log:
        f"{FOLDER}/logs/08_searched_results.ipynb",
    params:
        tasks=" ".join(TASKS),
    shell:
        PAPERMILL + "tasks={params.tasks:q} && cp {log:q} {output:q}"


rule claims:
    input:
        notebook="notebooks/10_claims.ipynb",
        library=LIBRARY,
        metrics=[f"{FOLDER}/{run}/05_evaluate/metrics.json" for run in RUNS],
        members=[f"{FOLDER}/{run}/{member}/metrics.json" for run in RUNS for member in members_of(run.split("/")[0])],
    output:
        f"{FOLDER}/10_claims.ipynb",
    log:
        f"{FOLDER}/logs/10_claims.ipynb",
    params:
        tasks=" ".join(TASKS),
        seeds=" ".join(SEEDS),
    shell:
        PAPERMILL + "tasks={params.tasks:q} seeds={params.seeds:q} && cp {log:q} {output:q}"


rule of_variants:
    input:
        notebook="notebooks/{shown}.ipynb",
        library=LIBRARY,
        metrics=[f"{FOLDER}/{run}/05_evaluate/metrics.json" for run in [*RUNS, *OF_VARIANTS]],
    output:
        f"{FOLDER}/{{shown}}.ipynb",
    log:
        f"{FOLDER}/logs/{{shown}}.ipynb",
    params:
        tasks=" ".join(TASKS),
        seeds=" ".join(SEEDS),
    shell:
        PAPERMILL + "tasks={params.tasks:q} seeds={params.seeds:q} && cp {log:q} {output:q}"


rule report:
    input:
        notebook="notebooks/09_report.ipynb",
        library=LIBRARY,
        executed=[f"{FOLDER}/{run}/{stage}/{stage}.ipynb" for run in RUNS for stage in [*CHAIN, *MEMBERS]],
        searched=f"{FOLDER}/08_searched_results.ipynb",
        claims=f"{FOLDER}/10_claims.ipynb",
        ledger=f"{FOLDER}/11_ledger.ipynb",
        recipe=f"{FOLDER}/13_recipe.ipynb",
        bench=BENCH if BENCH.is_file() else "results/reference/bench/bench.json",
    output:
        f"{FOLDER}/report.html",
    log:
        f"{FOLDER}/09_report.ipynb",
    params:
        tasks=" ".join(TASKS),
        seeds=" ".join(SEEDS),
    shell:
        PAPERMILL + "tasks={params.tasks:q} seeds={params.seeds:q}"
