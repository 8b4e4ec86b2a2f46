"""The report in a real browser: nothing leaves the page, what should move moves, and everyone can use it."""

import base64
import html
import io
import re
import shutil

import pytest
from fontTools.ttLib import TTFont

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
WIDTHS = {"phone": 360, "desktop": 1440}
PAPER = 1031  # pixels between the margins of a page, A4 across


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, chain):
    """visit(width, scheme): the report in a window of that width; `told` and `asked` are what it logs and requests."""
    contexts = []

    def open_report(width=1440, scheme="light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.told, page.asked = [], []
        page.on("console", lambda message: page.told.append(message.text))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto((chain[0] / "report.html").as_uri())
        return page

    yield open_report
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_is_quiet_asks_for_nothing_and_fits(visit, width):
    page = visit(width)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.told == []
    assert [url for url in page.asked if not url.startswith("data:")] == [page.url]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_script_that_is_not_the_kit_s_does_not_run(visit):
    page = visit()
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None and any("Content Security Policy" in told for told in page.told)


def test_formulas_show_where_the_reader_s_fonts_lack_their_letters(visit, chain):
    text = (chain[0] / "report.html").read_text()
    (font,) = re.findall(r'url\("data:font/woff;base64,([^"]+)"\)', text)
    letters = TTFont(io.BytesIO(base64.b64decode(font))).getBestCmap()
    formulas = [re.sub("<[^>]+>", "", formula) for formula in re.findall(r"<math.*?</math>", text, re.DOTALL)]
    used = set(html.unescape("".join(formulas)))
    assert {"\u2297", "\u03b1", "\u2202"} < used and not {of for of in used if ord(of) not in letters and of.strip()}
    page = visit()
    assert page.evaluate("document.fonts.load('16px enclosed', '\u2297').then(found => found[0].status)") == "loaded"
    assert page.told == []


def edges(page):
    pictures = page.locator("figure.slider .pictures").first
    return [
        pictures.evaluate(f"e => parseFloat(e.style.getPropertyValue('--{name}'))") for name in ("restored", "clear")
    ]


def test_sliders_move_by_keys_and_by_mouse_and_their_edges_do_not_cross(visit):
    page = visit()
    assert page.locator("figure.slider").count() == 2
    first, second = (page.locator("figure.slider input").nth(number) for number in (0, 1))
    assert edges(page) == [33, 67]
    first.focus()
    page.keyboard.press("ArrowRight")
    assert edges(page) == [34, 67] and first.get_attribute("aria-valuetext") == "34 % from the left"
    page.keyboard.press("End")
    assert edges(page) == [100, 100]
    second.focus()
    page.keyboard.press("Home")
    assert edges(page) == [0, 0]
    box = page.locator("figure.slider .pictures").first.bounding_box()
    page.mouse.move(box["x"] + 1, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert edges(page)[0] == pytest.approx(25, abs=1)


def test_tables_sort_by_number_both_ways_with_empty_cells_last(visit):
    page = visit()
    table = page.locator("section#derain table", has=page.get_by_text("PSNR (dB)", exact=True)).first
    column = table.locator("th").all_inner_texts().index("PSNR (dB)")
    button, orders = table.locator("th").nth(column).get_by_role("button"), []
    for direction in ("ascending", "descending"):
        button.focus()
        page.keyboard.press("Enter")
        assert table.locator("th").nth(column).get_attribute("aria-sort") == direction
        orders.append(table.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts())
    for order, reverse in zip(orders, (False, True), strict=True):
        numbers = [float(text) for text in order if text]
        assert len(numbers) > 3 and numbers == sorted(numbers, reverse=reverse)
        assert order[len(numbers) :] == [""] * (len(order) - len(numbers))


def test_every_measured_number_leads_to_its_file_and_every_entry_of_the_contents_to_its_place(visit, chain):
    page = visit()
    for link in page.locator("main a[href]").all():
        address = link.get_attribute("href")
        if address.startswith("#"):
            assert page.locator(f'[id="{address[1:]}"]').count() == 1, address
        else:
            assert (chain[0] / address).resolve().is_file(), address
    restored = page.locator("section#top table").first.locator("a", has_text=re.compile(" dB, "))
    assert restored.count() >= 6
    effects = page.locator("section#top table").nth(1).locator("td", has_text=re.compile(r"[+-]\d\.\d\d"))
    assert effects.count() > 5 and all(effect.locator("a").count() for effect in effects.all())
    for entry in page.locator("nav.contents a").all():
        assert page.locator(f'[id="{entry.get_attribute("href")[1:]}"]').count() == 1


def test_on_a_phone_the_measured_result_of_each_task_is_in_sight(visit):
    page = visit(360)
    cells = page.locator("section#top table").first.locator("tbody td:nth-child(3)")
    assert page.locator("section#top table").first.locator("th").nth(2).inner_text() == "HBL" and cells.count() == 2
    for cell in cells.all():
        box = cell.bounding_box()
        assert box["x"] + box["width"] <= 360


def test_the_first_task_s_notebooks_are_open_and_a_link_unfolds_one_of_another(visit):
    page = visit()
    first, second = (page.locator(f'[id$="-{stage}"]') for stage in ("00_data", "04_retrain"))
    assert first.nth(0).get_attribute("open") is not None and second.nth(1).get_attribute("open") is None
    page.locator("nav.contents a", has_text="04_retrain").nth(1).click()
    assert second.nth(1).get_attribute("open") is not None
    assert second.nth(1).get_by_text("found network, from scratch").first.is_visible()


def test_on_paper_the_three_pictures_stand_side_by_side_and_what_was_folded_is_shown(visit):
    page = visit(PAPER)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    boxes = [page.locator("figure.slider img").nth(number).bounding_box() for number in range(3)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] < boxes[2]["x"]
    assert not page.locator("nav.contents").is_visible()
    assert page.locator("section#reference details").first.get_attribute("open") is not None
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER  # no table is cut or shrinks its page


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (360, "dark"),
        (1440, "light"),
        *(pytest.param(*of, marks=pytest.mark.soak) for of in ((360, "light"), (1440, "dark"))),
    ],
)
def test_axe_finds_no_serious_fault_with_everything_unfolded(visit, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(width, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_timeout(300)
    faults = [fault for fault in Axe().run(page).response["violations"] if fault["impact"] in ("serious", "critical")]
    assert not faults, [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in faults]
