"""Random search over genotypes: what it may cost, and which candidate it keeps."""

import shutil

import torch

from hbl_lib import ablations, config, files, manifest, random_search, runs
from hbl_lib.genotype import Genotype
from hbl_lib.operations import candidates
from hbl_lib.restorer import Restorer
from hbl_lib.supernet import Supernet

MEMBER = f"{manifest.ABLATIONS[1]}/random"


def test_genotypes_are_drawn_from_the_space_and_every_candidate_comes():
    drawn = [Genotype.drawn(torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert len(set(drawn)) == 60
    assert {name for genotype in drawn for unit in genotype.hnu for name in unit} == set(candidates("hnu", 32, 32))
    for place in (0, 5):
        assert {genotype.encoder[place] for genotype in drawn} == set(candidates("encoder", 16, 16))
    everywhere = [Genotype.drawn(torch.Generator().manual_seed(seed), "all") for seed in range(60)]
    assert {genotype.decoder[0] for genotype in everywhere} == set(candidates("decoder", 32, 32, "all"))
    assert drawn[0] == Genotype.drawn(torch.Generator().manual_seed(0))


def test_the_candidates_together_cost_what_the_search_costs():
    params = config.load("real", "llie_lol").architecture_search
    supernet = Supernet()
    budget = random_search.search_budget(params, 180, supernet)
    assert budget == 3 * (180 + 150) * 96**2 * random_search.macs_per_pixel(supernet)
    networks = [Restorer(Genotype.drawn(torch.Generator().manual_seed(seed))) for seed in range(8)]
    steps = random_search.steps_within(budget, networks, 96, 12)
    each = [random_search.macs_per_pixel(network) for network in networks]
    spent = sum(of * 96**2 * (3 * steps + 12) for of in each)
    assert budget - 3 * 96**2 * sum(each) < spent <= budget
    assert steps > 100
    assert random_search.steps_within(1.0, networks, 96, 12) == 1


def test_the_best_candidate_is_kept_and_a_cut_off_search_goes_on(finished_run, tmp_path, cut_off):
    shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)
    run = runs.open_run(profile="smoke", results=str(tmp_path), device="cpu", overrides="architecture_search.crop=16")
    cut_off(lambda: ablations.run_member(run, manifest.ABLATIONS[1], "random"), 3)
    folder = ablations.run_member(run, manifest.ABLATIONS[1], "random")
    tried, found = files.read_json(folder / "candidates.json"), files.read_json(folder / "metrics.json")
    best = max(tried, key=lambda candidate: candidate["validation_psnr"])
    assert Genotype.read(folder / "genotype.yaml") == Genotype.from_dict(best["genotype"])
    assert found["search"]["validation_psnr"] == [candidate["validation_psnr"] for candidate in tried]
    assert found["search"]["candidates"] == 2 and found["search"]["candidate_steps"] >= 1
    assert files.read_json(folder / "manifest.json")["resumes"]
