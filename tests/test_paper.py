"""Tables 2 to 5: every published row, measured rows over seeds, and a way back from each measured cell."""

import pytest

from hbl_lib import ablations, config, files, paper
from hbl_lib.config import PARAMS

SCORES = {"psnr": 17.0, "ssim": 0.5, "lpips": None}


def write_manifest(stage, task="llie_lol", **made):
    written = stage / "metrics.json"
    outputs = {"metrics.json": files.sha256(written)} if written.is_file() else {}
    empty = {"inputs": {}, "outputs": outputs, "facts": {}, "seconds": 1.0}
    parameters = config.load("quick", task).model_dump()
    files.write_json(stage / "manifest.json", {"stage": stage.name, "parameters": parameters, **empty, **made})


def evaluated(folder, task, seed=0, psnr=17.0):
    """What a finished run of `task` leaves for the tables."""
    head = {"profile": "quick", "seed": seed, "images": 8, "data": "embedded pictures", "protocol": "RGB"}
    rows = {
        name: {**SCORES, "psnr": value} for name, value in (("degraded", 8), ("color_matrix", 15), ("restored", psnr))
    }
    compared = dict.fromkeys(("gamma", "clahe", "lime", "dcp", "udcp", "fusion"), SCORES)
    facts = {"steps": 550, "parameters": 5, "macs": {"count": 2_000_000_000}, "given": [], "search": "here"}
    files.write_json(folder / "05_evaluate/metrics.json", {**head, **facts, **rows, "compared": compared})
    for stage in ("00_data", "05_evaluate"):
        write_manifest(folder / stage, task)


@pytest.mark.parametrize(("task", "table"), [("llie_lol", 2), ("llie_mit", 2), ("sihr", 3), ("uie", 4)])
def test_every_published_row_stands_beside_the_measured_ones(tmp_path, task, table):
    evaluated(tmp_path / task, task)
    frame = paper.comparison(tmp_path / task).frame
    printed = files.read_yaml(PARAMS / "published/tables.yaml")["tables"][f"table{table}"]["rows"]
    prefix = {"llie_lol": "lol_", "llie_mit": "mit_"}.get(task, "")
    ours = frame[frame["method"] == "HBL, searched here"].iloc[0]
    assert (ours["PSNR (dB)"], ours["published PSNR (dB)"]) == (17.0, printed["Ours"][f"{prefix}psnr"])
    assert ours[paper.DIFFERENCE] == pytest.approx(17.0 - printed["Ours"][f"{prefix}psnr"])
    for name in printed.keys() - {"Ours"}:
        row = frame[frame["method"] == name].iloc[0]
        cells = [row[f"published {heading}"] for heading in ("PSNR (dB)", "SSIM", "LPIPS")]
        assert cells == [printed[name][prefix + metric] for metric in ("psnr", "ssim", "lpips")]


def test_table_3_says_that_two_methods_are_printed_with_the_same_values(tmp_path):
    evaluated(tmp_path / "sihr", "sihr")
    table = paper.comparison(tmp_path / "sihr")
    assert table.notes == ("GridDehazeNet and MSBDN are printed with the same SSIM and LPIPS.",)
    pair = table.frame[table.frame["method"].isin(["GridDehazeNet", "MSBDN"])]
    assert pair["published SSIM"].nunique() == pair["published LPIPS"].nunique() == 1


def test_several_seeds_are_mean_and_standard_deviation_and_all_their_files(tmp_path):
    folder = tmp_path / "sihr"
    for seed, psnr in enumerate((16.0, 17.0, 18.0)):
        evaluated(folder / (f"seed_{seed}" if seed else ""), "sihr", seed, psnr)
    row = paper.comparison(folder, ("0", "1", "2")).frame.set_index("method").loc["HBL, searched here"]
    assert (row["PSNR (dB)"], row["PSNR sd"], row["SSIM sd"]) == (17.0, 1.0, 0.0)
    assert row["file"].split() == [f"sihr/{seed}05_evaluate/metrics.json" for seed in ("", "seed_1/", "seed_2/")]
    assert row["measured on"].endswith("mean of seeds 0, 1, 2")


def test_what_has_not_run_says_so_and_a_member_on_older_inputs_has_not(tmp_path):
    folder = tmp_path / "llie_lol"
    evaluated(folder, "llie_lol")
    member = folder / "06_loss_ablation/unet_default"
    write_manifest(folder / "02_loss_search", outputs={"loss.yaml": "old"})
    files.write_json(member / "metrics.json", files.read_json(folder / "05_evaluate/metrics.json") | {"steps": 300})
    facts = {"member": ablations.member("06_loss_ablation", "unet_default", "llie_lol").model_dump()}
    write_manifest(member, facts=facts, inputs={"02_loss_search/loss.yaml": "old"})
    rows = paper.comparison(folder).frame.set_index("method")
    assert rows.loc["U-Net", "steps"] == 300 and rows.loc["U-Net", "PSNR (dB)"] == 17.0
    assert rows.loc["MBLLEN", "note"].startswith("not run") and rows.loc["MBLLEN", "published SSIM"] == 0.7705
    write_manifest(folder / "02_loss_search", outputs={"loss.yaml": "new"})
    assert paper.comparison(folder).frame.set_index("method").loc["U-Net", "note"].startswith("not run")


def test_a_task_that_the_paper_has_not_got_has_no_published_columns(tmp_path):
    evaluated(tmp_path / "derain", "derain")
    frame = paper.comparison(tmp_path / "derain").frame
    assert not [column for column in frame if column.startswith("published")]
    assert "HBL, published loss and genotype" not in set(frame["method"])


def test_table_5_holds_the_published_rows_for_lol_alone(tmp_path):
    for task in ("llie_lol", "uie"):
        evaluated(tmp_path / task, task)
    printed = files.read_yaml(PARAMS / "published/tables.yaml")["tables"]["table5"]["rows"]
    frame = paper.architectures(tmp_path / "llie_lol").frame.set_index("method")
    assert {name: frame.loc[name, "published PSNR (dB)"] for name in printed} == {
        name: row["psnr"] for name, row in printed.items()
    }
    assert "published PSNR (dB)" not in paper.architectures(tmp_path / "uie").frame
