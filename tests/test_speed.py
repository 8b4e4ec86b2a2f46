"""What the report says of speed comes from bench.json, the results' own before the committed one."""

import pytest

from hbl_lib import files, report, speed
from hbl_lib.errors import KitError

ENTRY = {"name": "restorer_vs_plain", "ours": 0.1234, "reference": 2.0, "ratio": 0.0617, "unit": "s"}
ENTRY |= {"target": 0.7, "of_value": False, "met": True, "machine": "a <b>machine</b>"}


def test_the_results_own_measurements_come_first_and_names_are_no_markup(tmp_path):
    assert speed.measured(tmp_path)[1] == speed.REFERENCE
    files.write_json(tmp_path / "bench/bench.json", [ENTRY])
    assert speed.measured(tmp_path)[1] == tmp_path / "bench/bench.json"
    page = report.speed_html(tmp_path)
    for number in ("0.123", "2", "0.0617"):
        assert f'title="bench.json">{number}</a></td>' in page
    for cell in ("restorer vs plain", "ratio at most 0.7", "yes"):
        assert f"<td>{cell}</td>" in page
    assert "a &lt;b&gt;machine" in page and "<img" not in page  # no plot of no points


@pytest.mark.parametrize("content", [{}, [1], [{"name": "x"}]])
def test_what_make_bench_did_not_write_is_named(tmp_path, content):
    files.write_json(tmp_path / "bench/bench.json", content)
    with pytest.raises(KitError, match=r"bench\.json: not what make bench writes"):
        speed.measured(tmp_path)


def test_the_committed_measurements_are_shown_with_a_plot_that_has_words(tmp_path):
    page = report.speed_html(tmp_path)
    assert page.count("<img") == 1 and 'alt="Time and memory of a search iteration' in page
    assert "committed with the kit" in page
    assert "What each change gains" in page and "<td>0.75</td>" in page.split("look-ahead")[1].split("</tr>")[0]
