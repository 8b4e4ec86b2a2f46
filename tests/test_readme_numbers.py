"""The numbers in README are those of the committed reference runs, each read from its metrics files."""

import statistics
from itertools import product
from pathlib import Path

from hbl_lib import (
    ablations,
    claims,
    effects,
    findings,
    ledger,
    manifest,
    metrics,
    outcomes,
    paired,
    references,
    search_quality,
    studies,
    tables,
    variants,
)
from hbl_lib.losses import TERMS, FoundLoss
from hbl_lib.search import CLEAR_BELOW, MOVED

ROOT = Path(__file__).parent.parent
KNOWN = {"/".join(known.folder.parts[-2:]): known for known in references.references()}
RUNS = """quick-embedded/llie_lol quick-embedded/llie_mit quick-embedded/sihr quick-embedded/uie
quick-lol97/llie_lol real-lol97/llie_lol quick-uieb256/uie real-uieb256/uie real-uieb256-published/uie quick-lsui/uie
quick-ihaze20/sihr"""


def section(title):
    return (ROOT / "README.md").read_text().split(title)[1].split("\n## ")[0]


def mean(runs, key):
    return metrics.mean([run[key] for run in runs])


def scores(found):
    return f"{found['psnr']:.2f}, {found['ssim']:.3f}".replace(" 0.", " .")


def test_every_result_in_the_readme_stands_in_a_committed_metrics_file():
    rows = [line.strip("| ").split(" | ") for line in section("## What was measured").splitlines() if line[:3] == "| `"]
    for name, (task, pictures, effort, *cells) in zip(RUNS.split(), rows, strict=True):
        folder, seeds = KNOWN[name]
        runs = outcomes.measured(folder, seeds)
        dealt = manifest.metrics(folder / "00_data")
        trained = [manifest.read(of / "04_retrain" / manifest.NAME) for of in outcomes.replicas(folder, seeds)]
        seconds = sum(of["seconds"] for of in trained) / len(seeds)
        assert task == f"`{runs[0]['task']}`"
        told = f"{dealt['images']} ({runs[0]['images']})" + (f", {len(seeds)} seeds" if len(seeds) > 1 else "")
        assert pictures.endswith(f", {told}"), name
        assert effort == f"{runs[0]['steps']}, {seconds:.0f}", name
        for metric, digits in (("psnr", 2), ("ssim", 3)):
            label, untrained = tables.best_classical(runs, metric)
            measured = [mean(runs, "degraded"), mean(runs, "color_matrix"), untrained, mean(runs, "restored")]
            texts = [f"{score[metric]:.{digits}f}".lstrip("0") for score in measured]
            best = max(range(4), key=lambda i: measured[i][metric])
            texts[best] = f"**{texts[best]}**"
            shown = [cell.split(", ")[metric == "ssim"] for cell in cells]
            whose = cells[2].split(", ")[0].split()[0] if " " not in shown[2] else shown[2].split()[0]
            assert (whose, [shown[0], shown[1], shown[2].split()[-1], shown[3]]) == (label, texts), name


def test_every_ablation_in_the_readme_stands_in_a_committed_metrics_file():
    lines = section("### The ablations").split("\n### ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    told = {row[0]: row[1:] for row in rows}
    of = KNOWN["real-lol97/llie_lol"]

    def members(ablation, name):
        return outcomes.if_run(*of, f"{ablation}/{name}")

    losses, architectures = manifest.ABLATIONS
    for name, known in ablations.members(architectures, "llie_lol").items():
        found = members(architectures, name)
        spread = statistics.stdev(run["restored"]["psnr"] for run in found)
        cells = [f"{found[0]['parameters']:,}", f"{found[0]['macs']['count'] / 1e9:.2f}"]
        assert told[known.label] == [*cells, scores(mean(found, "restored")), f"{spread:.2f}"[1:]], name
    for model, name in (("U-Net", "unet"), ("MBLLEN", "mbllen"), ("HBL", "ours")):
        searched = (architectures, "ours") if name == "ours" else (losses, f"{name}_searched")
        both = (mean(members(*place), "restored") for place in ((losses, f"{name}_default"), searched))
        assert told[model] == list(map(scores, both))


def test_the_minutes_of_real_stand_in_the_manifests():
    def minutes(place, patterns):
        found = [path for pattern in patterns for path in place.glob(f"{pattern}/{manifest.NAME}")]
        return sum(manifest.read(path)["seconds"] for path in found) / 60

    of_lol, of_uie = (outcomes.replicas(*KNOWN[name]) for name in ("real-lol97/llie_lol", "real-uieb256/uie"))
    chains = [round(minutes(place, ["0[0-5]_*"])) for place in (*of_lol, *of_uie)]
    whole = [round(minutes(place, ["0[0-5]_*", "0[67]_*/*"])) for place in of_lol]
    told = (
        f"{min(chains)} to {max(chains)} minutes of one core a task and seed, for LOL with all members of the ablations"
    )
    assert f"{told} {min(whole)} to {max(whole)}, by the manifests" in section("## Two commands")


SEEDS = ["0", "1", "2"]
PICTURES = {"real-lol97": "LOL-v1", "real-uieb256": "UIEB", "real-lol97, real-uieb256": "both"}


def verdict_rows():
    """The rows of README's table: what came out of each claim on the runs whose searches ran here."""
    rows = []
    for name, frame in references.judged():
        for row in claims.summary(frame).to_dict("records"):
            words = f"| {row['claim']} | {PICTURES[name]} | {row['verdict']} | {row['against']} |"
            rows.append(words.replace("\u00a0", " ").replace("\u2011", "-").replace(effects.OPEN, "open"))
    return rows


def test_what_we_found_are_the_verdicts_on_the_reference_runs():
    told = [line for line in section("## What we found").splitlines() if line.startswith("| ")]
    assert told[1:] == verdict_rows()
    words = " ".join(section("## What we found").split())
    for name in ("real-lol97/llie_lol", "real-uieb256/uie"):
        folder, seeds = KNOWN[name]
        assert f"`{outcomes.command(folder.parent, [folder.name], seeds)}`" in words


def found_weights(replica):
    return FoundLoss.read(replica / "02_loss_search/loss.yaml").weights


def leading(folder, seeds):
    """The leading terms of each seed's found loss."""
    return [findings.leading(found_weights(place)) for place in outcomes.replicas(folder, seeds)]


def interval(mean, low, high, digits):
    return f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def test_what_we_found_of_the_searches_stands_in_metrics_files():
    told = " ".join(section("## What we found").split())
    folder, seeds = KNOWN["real-lol97/llie_lol"]
    judge, supernet = "L_C of the classifier", "L_Q under shared weights"
    ranks, tried, places = {}, {}, {}
    for name, known in (("LOL", "real-lol97/llie_lol"), ("UIEB", "real-uieb256/uie")):
        task, of = KNOWN[known]
        ranks[name] = search_quality.table(task.parent, [task.name], of).frame.set_index(["signal", "quality"])
        assert set(ranks[name]["seed"]) == {"0"}
        tried[name] = {study: manifest.metrics(task / f"12_search_quality/{study}") for study in studies.BY_NAME}
        by_psnr = sorted(tried[name]["losses"]["settings"], key=lambda row: -row["psnr"])
        places[name] = [[row["name"] for row in by_psnr].index(of) + 1 for of in ("found", "equal weights")]
    for name, pair, words in (
        ("UIEB", (judge, "SSIM"), "on UIEB a lower L_C goes with a higher SSIM ({})"),
        ("UIEB", (judge, "LPIPS (squeeze)"), "but a worse LPIPS ({})"),
        ("LOL", (judge, "PSNR (dB)"), "on LOL, where it calls all clear, with a lower PSNR ({})"),
        ("LOL", (judge, "SSIM"), "and SSIM ({}); the others are open"),
        ("LOL", (supernet, "PSNR (dB)"), "is open: rho {} on LOL,"),
        ("UIEB", (supernet, "PSNR (dB)"), "on LOL, {} on UIEB;"),
    ):
        row = ranks[name].loc[pair]
        assert words.format(interval(row["rho"], row["rho from"], row["rho to"], 2)) in told
    shared = (supernet, "PSNR (dB)"), ("PSNR under shared weights (dB)", "PSNR (dB)")
    for name, pair in (("UIEB", (judge, "PSNR (dB)")), ("LOL", (judge, "LPIPS (squeeze)")), *product(ranks, shared)):
        assert ranks[name].loc[pair, "rho from"] < 0 < ranks[name].loc[pair, "rho to"]
    assert f"is {places['LOL'][0]}th on LOL (equal weights {places['LOL'][1]}th), {places['UIEB'][0]}th on UIEB" in told
    assert places["UIEB"][1] == 1 and "th on UIEB (1st)" in told
    assert all(row["classifier_loss"] < CLEAR_BELOW for row in tried["LOL"]["losses"]["settings"])
    sizes = {
        (len(of["losses"]["settings"]), of["losses"]["steps"], len(of["genotypes"]["settings"]))
        for of in tried.values()
    }
    assert sizes == {(24, 300, 12)} and "24 losses, 22 random, 300 steps each" in told
    assert "orders 12 genotypes" in told
    seen = [row["supernet_psnr"] for of in tried.values() for row in of["genotypes"]["settings"]]
    assert f"its PSNR, {min(seen):.1f} to {max(seen):.1f} dB, hardly" in told
    signals = references.signals().set_index(["reference", "loss search"])
    bare = signals.loc[("quick-lol97-squeeze/llie_lol", "no_warmup")]
    assert f"of what follows clear from step {bare['clear from step']} of {bare['steps']} on, by seed" in told
    judged_from = [
        manifest.metrics(place / "02_loss_search")["clear_from"]
        for reference in (KNOWN["real-lol97/llie_lol"], KNOWN["real-uieb256/uie"])
        for place in outcomes.replicas(*reference)
    ]
    warmup = manifest.read(folder / "02_loss_search" / manifest.NAME)["parameters"]["loss_search"]["warmup"]
    assert judged_from == [warmup] * 3 + [None] * 3 and f"at `real` from step {warmup}, the first after warmup;" in told
    embedded = {
        name: manifest.metrics(KNOWN[f"quick-embedded/{name}"].folder / "02_loss_search")["clear_from"]
        for name in ("llie_lol", "llie_mit", "sihr", "uie")
    }
    assert embedded["llie_mit"] is embedded["sihr"] is None
    assert f"on haze and MIT, from no step (LOL from {embedded['llie_lol']}, water from {embedded['uie']})" in told
    pairs, changed = {}, {}
    for known in ("quick-lol97-squeeze/llie_lol", "real-uieb256/uie"):
        plain, matched = (signals.loc[(known, name)] for name in ("classifier_plain", "main run"))
        first = (f"{of['judged clear (first fifth)']:.0%}".replace("%", " %") for of in (plain, matched))
        pairs[known] = " against ".join(first)
        by_seed = [
            [manifest.metrics(place / "02_loss_search")["judged_clear_first"] for place in places]
            for places in (
                outcomes.replicas(variants.folder_of(KNOWN[known].folder, "classifier_plain"), SEEDS),
                outcomes.replicas(*KNOWN[known]),
            )
        ]
        assert min(by_seed[0]) > max(by_seed[1]) and "satisfied more often in every seed (first" in told
        sides = [
            [found_weights(place) for place in outcomes.replicas(variants.folder_of(KNOWN[known].folder, name), SEEDS)]
            for name in ("classifier_plain", "")
        ]
        changed[known] = {}
        for term in TERMS:
            other, own = ([weights[term] for weights in side] for side in sides)
            if min(other) > max(own) or max(other) < min(own):
                changed[known][term] = f"{statistics.mean(other):.2f} against {statistics.mean(own):.2f}"
    of_lol, of_uie = changed.values()
    assert "LOL at `quick` {}, UIEB {})".format(*pairs.values()) in told
    assert f"apart on LOL for colour (more: {of_lol['color']}), TV and Laplacian (less), on UIEB for none" in told
    assert set(of_lol) == {"color", "tv", "laplacian"} and not of_uie
    folder_uie, seeds_uie = KNOWN["real-uieb256/uie"]
    of_plain = outcomes.replicas(variants.folder_of(folder_uie, "classifier_plain"), seeds_uie)
    leads = [findings.lead(found_weights(place), "ssim") for place in of_plain]
    assert (
        min(leads) < -findings.MARGIN < findings.MARGIN < max(leads) and "With plain pairs on UIEB it is open;" in told
    )
    for name, known in (("LOL", "quick-lol97-squeeze/llie_lol"), ("UIEB", "real-uieb256/uie")):
        row = ledger.table(*KNOWN[known]).frame.set_index("variant").loc["classifier_plain"]
        effect = interval(row["effect (dB)"], row["effect (dB) from"], row["effect (dB) to"], 2)
        assert f"{name} {effect.replace(' (', ' dB (')}" in told and row["says"] == effects.OPEN
    ours, equal = (
        outcomes.if_run(folder, seeds, place)
        for place in ("07_architecture_ablation/ours", "06_loss_ablation/ours_default")
    )
    gains = [found["restored"]["psnr"] - other["restored"]["psnr"] for found, other in zip(ours, equal, strict=True)]
    assert f"by {min(gains):.2f} to {max(gains):.2f} dB in each of {len(seeds)} seeds" in told
    assert leading(folder, seeds) == [["colour"], ["colour"], ["l1", "l2"]]
    assert "colour in two seeds, l1 and l2 level in one" in told
    at_quick = leading(*KNOWN["quick-lol97-squeeze/llie_lol"])
    assert not {"SSIM"} & {term for of in at_quick for term in of} and "at `quick` it varies, never SSIM" in told
    bare = leading(variants.folder_of(KNOWN["quick-lol97-squeeze/llie_lol"].folder, "no_warmup"), seeds)
    assert all("l1" in of for of in bare) and [len(of) for of in bare].count(1) == 1
    rows = claims.of_task(folder, seeds)
    tested = rows[rows["claim"].isin((claims.LOSS, claims.UNIFORM, claims.STRATEGY))]
    assert (
        len(tested) == 9
        and "the paper's nine comparisons of its searches one is shown to hold (in sign), barely**" in told
    )
    assert list(tested.loc[tested["verdict"] == effects.REPLICATES, "against"]) == ["1-RC"]
    rows = rows.dropna(subset=["published effect (dB)", "effect (dB) to"])
    assert (
        rows["published effect (dB)"] > rows["effect (dB) to"]
    ).all() and f"each of the {len(rows)} lies over the whole interval" in told
    dealt = manifest.metrics(folder / "00_data")["lists"]
    assert f"trained on {dealt['train'] + dealt['search']} pictures" in told
    assert dealt["test"] == 24 and manifest.metrics(folder_uie / "00_data")["lists"]["test"] == 15
    fusion = claims.of_task(*KNOWN["real-uieb256/uie"]).set_index("against").loc["Fusion"]
    assert f"{fusion['effect (dB)']:+.2f}, published {fusion['published effect (dB)']:+.2f} (open, by SSIM)" in told
    assert fusion["effect (dB) from"] > 0 > fusion["effect (SSIM) from"]
    udcp = claims.of_task(*KNOWN["real-uieb256/uie"]).set_index("against").loc["UDCP"]
    assert udcp["published effect (dB)"] > udcp["effect (dB) to"]
    members = (f"{outcomes.ARCHITECTURES}/{name}" for name in ("ours", "published"))
    uieb = (outcomes.measured(*KNOWN[name]) for name in ("real-uieb256/uie", "real-uieb256-published/uie"))
    told_of = []
    for found, published in ([outcomes.if_run(folder, seeds, member) for member in members], uieb):
        of = paired.between(found, published)
        told_of += [interval(of[m].mean, of[m].low, of[m].high, digits) for m, digits in (("psnr", 2), ("ssim", 3))]
    (lol, lol_ssim), (uie, uie_ssim) = told_of[:2], told_of[2:]
    assert f"PSNR is open, LOL {lol}, UIEB {uie};".replace(" (", " dB (") in told
    assert f"SSIM is open on LOL, {lol_ssim}, and higher on UIEB, {uie_ssim}." in told
    row = ledger.table(folder_uie, seeds_uie).frame.set_index("variant").loc["published"]
    assert row["says"] == f"PSNR {effects.OPEN}, SSIM worse"


def test_with_pictures_of_one_place_as_one_scene_only_the_verdict_on_1_rc_changes(monkeypatch):
    """LOL's test pictures; which show one place was seen by eye: a studio, a desk, an archery hall."""
    place = dict.fromkeys(("342", "473", "499"), "studio") | dict.fromkeys(("550", "555"), "desk")
    place |= dict.fromkeys(("691", "696"), "archery hall")
    told, by_scene = " ".join(section("## What we found").split()), effects.by_scene
    plain = claims.of_task(*KNOWN["real-lol97/llie_lol"]).set_index("against")

    def by_place(images, values):
        return by_scene([image | {"group": place.get(image["group"], image["group"])} for image in images], values)

    monkeypatch.setattr(effects, "by_scene", by_place)
    merged = claims.of_task(*KNOWN["real-lol97/llie_lol"]).set_index("against")
    row = merged.loc["1-RC"]
    assert (plain.loc["1-RC", "scenes"], row["scenes"]) == (24, 20) and "(seven of LOL's 24, by eye)" in told
    assert f"that is open too ({row['effect (dB) from']:+.2f} to {row['effect (dB) to']:+.2f})." in told
    assert list(plain.index[plain["verdict"] != merged["verdict"]]) == ["1-RC"] and row["verdict"] == effects.OPEN


def test_what_we_found_is_at_most_one_screen():
    """934 pixels high at a width of 1012, in letters of 16, with 4,449 characters."""
    assert len(section("## What we found").split("<details>")[0]) <= 4450


def test_what_we_found_of_recipes_stands_in_metrics_files():
    told = " ".join(section("## What we found").split())
    rows = ledger.table(*KNOWN["quick-lol97-squeeze/llie_lol"], "recipe").frame.set_index("variant")

    def costs(name, sign=1):
        mean, *ends = (sign * rows.loc[name, f"effect (dB){end}"] for end in ("", " from", " to"))
        return f"{abs(mean):.2f} dB ({min(ends):+.2f} to {max(ends):+.2f})"

    folder, seeds = KNOWN["quick-lol97-squeeze/llie_lol"]
    slow = mean(outcomes.measured(variants.folder_of(folder, "recipe_paper"), seeds), "restored")
    assert f"is at {slow['psnr']:.2f} dB by then" in told
    assert f"by {costs('recipe_paper', -1)}, and by {costs('recipe_fifth')} in a fifth of the steps" in told
    at = {name: outcomes.measured(variants.folder_of(folder, name), seeds) for name in rows.index.union(["published"])}
    gain = paired.between(at["recipe_rate"], at["recipe_paper"])["psnr"]
    assert f"it gains {gain.mean:.2f} dB ({gain.low:+.2f} to {gain.high:+.2f})" in told
    low, high = -rows.loc["recipe_rate", "effect (dB) to"], -rows.loc["recipe_rate", "effect (dB) from"]
    assert f"PSNR is open, {-rows.loc['recipe_rate', 'effect (dB)']:+.2f} dB ({low:+.2f} to {high:+.2f})" in told
    ends = (-rows.loc["recipe_rate", f"effect (SSIM){end}"] for end in ("", " to", " from"))
    assert f"it gains SSIM alone, {interval(*ends, 3)}" in told
    assert rows.loc["recipe_rate", "says"] == f"PSNR {effects.OPEN}, SSIM worse"
    fifth = paired.between(at["recipe_fifth"], at["recipe_rate"])["ssim"]
    assert f"a fifth is too few: SSIM {interval(fifth.mean, fifth.low, fifth.high, 3)}" in told
    assert f"Adam is worth {costs('recipe_sgd', -1)}, batch 4" in told
    assert f"in a quarter of the steps costs {costs('recipe_batch_4', -1)};" in told
    assert set(rows.loc[["recipe_paper", "recipe_sgd", "recipe_batch_4"], "says"]) == {"worse"}
    assert set(rows.loc[["recipe_no_average", "recipe_half_crops"], "says"]) == {effects.OPEN}
    assert rows.loc["recipe_fifth", "says"] == "better"


def test_what_we_found_of_the_ledger_stands_in_metrics_files():
    told = " ".join(section("## What we found").split())
    rows = ledger.table(*KNOWN["quick-lol97-squeeze/llie_lol"]).frame.set_index("variant")
    assert (rows.loc[["split_1", "split_2"], "effect (dB) from"] < 0).all()
    assert (rows.loc[["split_1", "split_2"], "effect (dB) to"] > 0).all()
    rows = rows.dropna(subset=["p"])
    rows = rows.drop("published")  # told with those at `real`
    mean, low, high = (-rows.loc["rounds", f"effect (dB){end}"] for end in ("", " to", " from"))
    assert (
        f"a second round of both searches costs {mean:.2f} dB, barely ({low:+.2f} to {high:+.2f}, p .04; SSIM open)"
        in told
    )
    assert (
        rows.loc["rounds", "says"] == f"PSNR worse, SSIM {effects.OPEN}" and round(rows.loc["rounds", "p"], 2) == 0.04
    )
    others = rows[rows["says"] == effects.OPEN]
    assert len(others) == len(rows) - 1 and f"The {len(others)} others are open" in told
    means = others["effect (dB)"]
    assert (means.idxmin(), means.idxmax()) == ("subtraction", "look_ahead_momentum")
    assert (
        f"from {means.min():+.2f} dB (the public code's subtraction, in the normalised unit) to {means.max():+.2f} dB"
        in told
    )
    reach = others["effect (dB) from"].min(), others["effect (dB) to"].max()
    assert "their intervals reach {:+.2f} to {:+.2f} dB".format(*reach) in told


def test_what_is_sure_at_any_budget_stands_in_the_published_files():
    weights, genotypes = findings.published()
    assert findings.dominant(weights["llie_mit"]) == "ssim" and findings.CLAIMED_TERM["llie_mit"] == "l1"
    for task in ("llie_lol", "llie_mit"):
        held = findings.layer_claims(genotypes, task)["held"]
        assert len(held) == 56 and held.max() < 3


def test_how_far_the_searches_moved_stands_in_metrics_files():
    told = " ".join(section("## What was measured").split())
    runs = [(name, place) for name, known in KNOWN.items() for place in outcomes.replicas(*known)]
    loss, architecture = (
        [(name, manifest.metrics(place / stage)) for name, place in runs]
        for stage in ("02_loss_search", "03_architecture_search")
    )
    loss, architecture = ([(n, of) for n, of in found if of["search"] == "here"] for found in (loss, architecture))
    rows = [of["moved"]["median"] for _, of in architecture]
    assert f"rows of alpha by {min(rows):.2f} to {max(rows):.2f} in the median" in told
    most = [max(map(abs, of["moved"].values())) for _, of in loss]
    assert f"the weight that moves most by {min(most):.2f} to {max(most):.2f}; below {MOVED}" in told
    assert [name for name, of in loss if not of["resolved"]] == ["quick-lol97-squeeze/llie_lol"]
    folder = KNOWN["quick-lol97-squeeze/llie_lol"].folder
    searched = folder.glob("variants/**/02_loss_search/metrics.json")
    unresolved = [path for path in searched if not manifest.metrics(path.parent).get("resolved", True)]
    assert len(unresolved) == 4 and not any("seed_" in str(path) for path in unresolved)
    assert "seed 0 of `quick-lol97-squeeze` and of four of its variants" in told
