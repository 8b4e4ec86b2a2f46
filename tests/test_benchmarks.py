"""The benchmarks compare like with like, and the committed figures are whole."""

import pytest
import torch

from benchmarks import __main__ as bench
from benchmarks import cases, measure, published
from hbl_lib import bilevel, config, speed
from hbl_lib.classifier import Classifier, upper_loss
from hbl_lib.network import parameter_count


def test_the_published_supernet_is_as_large_as_the_kit_s():
    assert parameter_count(published.supernet()) == 4_367_040


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_the_published_scheme_estimates_the_gradient_that_the_kit_computes(rng):
    torch.manual_seed(0)
    network, judge = published.supernet(), Classifier("resnet10").eval().requires_grad_(False)
    clear, unseen = torch.rand(2, 1, 3, 32, 32, generator=rng)
    scheme = published.LossSearch(network, published.pixel_values, 6, judge, 0.01)
    before = [w.detach().clone() for w in scheme.weights]
    found = scheme.hypergradient(0.3 * clear, clear, 0.3 * unseen)
    for w, b in zip(scheme.weights, before, strict=True):
        torch.testing.assert_close(w.detach(), b, rtol=1e-4, atol=1e-6)

    weights = {name: p for name, p in network.named_parameters() if not name.endswith(".alpha")}
    values = bilevel.at_weights(network, lambda y: published.pixel_values(y, clear), 0.3 * clear)
    upper = bilevel.at_weights(network, lambda y: upper_loss(judge, y), 0.3 * unseen)
    exact = bilevel.exact(values, torch.ones(6), upper, weights, 0.01).coefficients
    assert (found - exact).norm() < 0.3 * exact.norm()


@pytest.mark.parametrize("side", cases.SIDES)
@pytest.mark.parametrize("case", [cases.loss_search, cases.architecture_search])
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_both_sides_of_an_iteration_run_and_move_the_network(side, case, monkeypatch):
    made = []
    for owner, name in ((cases, "Supernet"), (published, "supernet")):
        maker = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, of=maker, **k: made.append(of(*a, **k)) or made[-1])
    step = case(side, 32, *([False] if case is cases.loss_search else []))
    before = [p.detach().clone() for p in made[0].parameters()]
    step()
    assert any(not torch.equal(p, b) for p, b in zip(made[0].parameters(), before, strict=True))


def test_the_convolutions_that_are_timed_alone_are_all_of_the_network_s():
    picture = torch.rand(1, 3, *bench.PICTURE, device=measure.device())
    found = cases.Convolutions(cases.lol_restorer(), picture)
    macs = 0
    for (name, x, weight, *_), count in found.counts.items():
        pixels = x[2] * x[3] / (4 if name == "conv2d" and weight[-1] == 2 else 1)
        macs += count * pixels * weight[0] * weight[1] * weight[2] * weight[3]
    assert macs == pytest.approx(21.757e9, rel=1e-3)  # as facts/hbl.md and torch's counter have it
    assert len(found.sides()) == 2 * len(found.counts)


def test_sides_are_measured_in_turn():
    calls = []
    took = measure.in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, warmup=1)
    assert calls == ["a", "b"] * 3 and set(took) == {"a", "b"}


def test_a_step_is_measured_in_a_process_of_its_own():
    found = measure.fresh("loss_search", "ours", 32)
    assert 1 < found["memory_mb"] < 1000 and found["seconds"] > 0


def test_a_target_is_of_the_ratio_or_of_the_value():
    assert bench.entry("restorer_vs_plain", 0.6, 1.0, "s")["met"] is True
    assert bench.entry("restorer_vs_plain", 0.8, 1.0, "s")["met"] is False
    assert bench.entry("restore_12mp_memory_mb", 1900, 4000, "MB", True)["met"] is True
    assert bench.entry("loader_share_quick", 0.06, None, "of a step", True)["met"] is False
    assert bench.entry("restorer_vs_unet", 3.0, 1.0, "s")["met"] is None


def test_the_committed_figures_hold_every_entry_with_its_machine_and_ratio(tmp_path):
    entries, path = speed.measured(tmp_path)
    assert path == speed.REFERENCE
    by_name = {entry["name"]: entry for entry in entries}
    wanted = {*bench.TARGETS, "restorer_vs_mbllen", "restorer_vs_unet"} - {"loader_share"}
    assert wanted | {f"loader_share_{profile}" for profile in config.names("profiles")} <= set(by_name)
    for entry in entries:
        assert entry["machine"] and entry["unit"]
        if entry["reference"]:
            assert entry["ratio"] == pytest.approx(entry["ours"] / entry["reference"])
    assert {e["x"] for e in entries if e["name"].startswith("scaling_size_seconds")} >= {128, 256, 512}


def test_the_table_in_the_benchmarks_readme_is_that_of_the_committed_figures(tmp_path):
    entries = [e for e in speed.measured(tmp_path)[0] if not e["name"].startswith("change_")]
    table = speed.table(entries).to_markdown(index=False, disable_numparse=True)
    assert table in (measure.ROOT / "benchmarks/README.md").read_text()
