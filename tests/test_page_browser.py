"""The page in a browser, without a network: every control is used, and nothing goes wrong."""

import csv
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from study.dynamics import Network, maps
from study.grid import Results, run_of
from study.page import joined, packed

sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PAGE = Path(__file__).parent.parent / "docs" / "page" / "index.html"
EMPTY = {"networks": [], "post": [], "folders": [], "origin": {"version": "0", "folders": []}}


@pytest.fixture(scope="module")
def browser():
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def opened(browser, address="", width=1280, height=900, file=PAGE, **options):
    """Open a page offline. At the end, no request and no message on its console is allowed."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_offline(True)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"{error} {error.stack}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{file.as_uri()}{address}")
    page.wait_for_selector("html[data-ready]")
    yield page
    assert said == []
    assert all(re.match("file:.*/index.html|data:|blob:", url) for url in asked)
    context.close()


@pytest.fixture
def page(browser):
    with opened(browser, reduced_motion="reduce") as one:
        yield one


def text(page, selector):
    return page.locator(selector).inner_text()


def picture(page, selector):
    """The pixels of a canvas, as text."""
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


def box_of(page, selector):
    """The place of an element on the screen, after it was brought there."""
    page.locator(selector).scroll_into_view_if_needed()
    return page.locator(selector).bounding_box()


def values_of(page, selector):
    return page.eval_on_selector_all(f"{selector} option", "all => all.map((one) => one.value)")


def set_to(page, selector, value):
    page.eval_on_selector(
        selector,
        """(input, value) => {
            input.value = value;
            input.dispatchEvent(new Event("input", { bubbles: true }));
            input.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        value,
    )


def test_the_page_is_ready_soon(page):
    assert int(page.get_attribute("html", "data-ready")) < 10_000


def test_the_tour_leads_across_the_separatrix_and_its_sentence_says_so(page):
    titles = [text(page, "#tour-title")]
    page.click("#tour-do")
    for _ in range(4):
        page.click("#tour-next")
        titles.append(text(page, "#tour-title"))
        page.click("#tour-do")
    assert len(set(titles)) == 5
    assert page.is_disabled("#tour-next")
    said = text(page, "#consequence")
    assert "8 of the 8 answers since were wrong" in said
    assert "still one step late, so every answer is wrong" in said
    page.click("#tour-back")
    assert text(page, "#tour-count") == "4 of 5"


def test_a_small_push_comes_back_and_answers_stay_right(page):
    page.click("#push")
    for _ in range(6):
        page.click("#step")
    said = text(page, "#consequence")
    assert "All 6 answers since were right" in said
    assert "back where it would have been" in said
    page.click("#shove")
    page.click("#step")
    assert "You pushed the state by" in text(page, "#consequence")


def test_the_state_can_be_dragged_across_and_moved_by_keys(page):
    box = box_of(page, "#plane")
    before = picture(page, "#plane")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.8 * box["height"], steps=5)
    page.mouse.up()
    assert "You moved the state by" in text(page, "#consequence")
    assert picture(page, "#plane") != before
    first = text(page, "#state")
    page.focus("#plane")
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert text(page, "#state") != first


@pytest.mark.parametrize(
    ("button", "said"),
    [
        ("phase", "You put the network into the state of the step before"),
        ("swap-h", "You took h from the step before and left c as it was"),
        ("swap-c", "You took c from the step before and left h as it was"),
        ("swap-inside", "You put back the old c within the step"),
    ],
)
def test_states_are_swapped(page, button, said):
    page.click(f"#{button}")
    page.click("#step")
    assert said in text(page, "#consequence")


def test_inputs_gates_and_cue_obey(page):
    page.click("#gate-o")
    assert page.get_attribute("#gate-o", "aria-pressed") == "true"
    assert "You hold the output gate o at" in text(page, "#consequence")
    page.click("#gate-o")
    assert "You let the output gate go" in text(page, "#consequence")
    set_to(page, "#noise", "5")
    assert "You set the noise to 5 times" in text(page, "#consequence")
    set_to(page, "#held", "0.8")
    assert page.is_checked("#hold")
    assert "You hold the input at 0.8" in text(page, "#consequence")
    page.uncheck("#hold")
    page.uncheck("#cue")
    assert "without a cue" in text(page, "#consequence")
    page.check("#cue")
    box = box_of(page, "#strip")
    before = picture(page, "#strip")
    page.mouse.move(box["x"] + 90 + 60, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 90 + 110, box["y"] + 20, steps=3)
    page.mouse.up()
    assert "You drew inputs by hand" in text(page, "#consequence")
    assert picture(page, "#strip") != before
    page.click("#restart")


def test_the_network_runs_and_pauses(browser):
    with opened(browser) as page:
        before = picture(page, "#strip")
        page.click("#run")
        page.wait_for_timeout(1200)
        assert text(page, "#run") == "Pause"
        page.click("#run")
        assert text(page, "#run") == "Run"
        assert picture(page, "#strip") != before


def test_every_kind_of_network_can_be_chosen(page):
    seen = set()
    for kind in values_of(page, "#kind"):
        page.select_option("#kind", kind)
        for pattern in values_of(page, "#pattern"):
            page.select_option("#pattern", pattern)
            page.click("#step")
            seen.add(text(page, "#about"))
    page.select_option("#seed", index=1)
    assert len(seen) > 15
    assert any("repeats every 3 steps" in about and "are right" in about for about in seen)
    assert any("projection" in about for about in seen)


def test_the_browser_finds_the_studys_eigenvalues_and_multipliers(page):
    """The first network's page says both to two or three digits."""
    results = Results(PAGE.parents[2] / "results" / "page")
    rows = results.block("planes").query("cell == 'lstm' and hidden_size == 1 and pattern == '10'")
    row = rows[rows["status"] == "solved"].sort_values("seed").iloc[0]
    network = Network(run_of(row), results.weights(row["run_id"]))
    about = text(page, "#about")
    state = network.settled(network.visited(np.ones(1)), 0.5, 500)
    cycle = maps.find(lambda z: network.derivatives(z, 0.5), state, 2, np.full(2, 10))[0]
    middle = network.roots(cycle.points.mean(axis=0)[None], 0.5, 1)[0]
    values = np.linalg.eigvals(network.derivatives(middle, 0.5)[1][0])
    outer = values[np.abs(values).argmax()]
    said = [
        float(x.replace("−", "-"))
        for x in re.findall(r"(?:multiplier|eigenvalue is) (−?[\d.]+\d)", about)
    ]
    assert said == [pytest.approx(cycle.rho, rel=0.05), pytest.approx(outer.real, rel=0.005)]


def test_the_tour_returns_to_a_network_that_it_is_true_of(page):
    page.select_option("#kind", index=5)
    assert "projection" in text(page, "#about")
    page.click("#tour-next")
    assert "projection" not in text(page, "#about")


def test_links_lead_to_the_parts(page):
    for link in page.locator("nav a").all():
        link.click()
        part = link.get_attribute("href")
        assert page.locator(part).bounding_box()["y"] < 300
        assert page.evaluate("location.hash").startswith(f"{part}&")


def test_a_part_without_data_says_which_grid_makes_it(browser, tmp_path):
    (tmp_path / "index.html").write_text(joined(packed(EMPTY)), encoding="utf-8")
    with opened(browser, file=tmp_path / "index.html") as page:
        for part, grid in (("networks", "page"), ("learning", "page"), ("post", "forum")):
            assert f"study grid experiments/{grid}.yaml" in text(page, f"#{part}")
        assert "study grid experiments/main.yaml" in text(page, "#runs")


def test_learning_can_be_followed(page):
    said = {text(page, "#learned")}
    for update in ("0", "10", "40"):
        set_to(page, "#update", update)
        said.add(text(page, "#learned"))
    assert len(said) == 4
    for kind in page.eval_on_selector_all(
        "#learning-kind option", "all => all.map((o) => o.value)"
    ):
        page.select_option("#learning-kind", kind)
        for button in page.locator("#moments button").all():
            button.click()
    page.select_option("#learning-kind", index=0)
    page.click("#moments button:first-child")
    assert "outside the circle" in text(page, "#learned")
    assert "the initial weights alone predict" in text(page, "#learned")
    box, before = box_of(page, "#foreseen"), text(page, "#learned")
    for x in range(60, int(box["width"]), 12):  # along the line of exact predictions
        y = box["height"] - 44 - (x - 56) / (box["width"] - 74) * (box["height"] - 78)
        page.mouse.click(box["x"] + x, box["y"] + y)
    assert text(page, "#learned") != before
    page.select_option("#learning-kind", index=0)
    page.select_option("#learning-seed", index=1)
    page.select_option("#learning-pattern", index=0)
    set_to(page, "#update", "0")
    page.click("#learning-play")
    page.wait_for_timeout(600)
    page.click("#learning-play")
    assert text(page, "#update-value") != "update 0"


def test_the_post_is_answered(page):
    said = text(page, "#post-answer")
    assert "96 of 200 networks solved the task within 500 epochs: 0.480 [0.412, 0.549]" in said
    page.select_option("#post-zeroed", "true")
    page.select_option("#post-optimizer", "adam")
    page.select_option("#post-lr", "0.01")
    assert "94 of 100 networks" in text(page, "#post-answer")
    page.select_option("#post-lr", "3")
    assert "was not trained" in text(page, "#post-note")
    page.select_option("#post-epochs", index=1)
    page.select_option("#post-step_after", index=1)
    page.click("#post-reset")
    assert text(page, "#post-answer") == said


def test_runs_are_filtered_grouped_listed_and_downloaded(page):
    assert "3,200 runs in 16 groups" in text(page, "#counts")
    assert "0.925 [0.880, 0.954]" in text(page, "#groups")  # as in the README, for LSTM and SGD
    page.click("#filters summary:has-text('cell')")
    page.uncheck("#filters input[value='gru']")
    assert "2,400 runs in 12 groups" in text(page, "#counts")
    page.click("#groups button >> nth=0")
    assert "lstm, adam" in text(page, "#picked h3")
    assert re.search(r"study\.Run\(.*seed=\d+\)", text(page, "#command"))
    page.click("#picked li:nth-child(2) button")
    with page.expect_download() as waiting:
        page.click("#csv")
    with open(waiting.value.path(), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert {(row["cell"], row["optimizer"], row["status"]) for row in rows} == {
        ("lstm", "adam", "solved")
    }
    page.click("#clear")
    box = box_of(page, "#curves")
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.select_option("#by-2", "")
    page.select_option("#by", "optimizer")
    assert "in 4 groups" in text(page, "#counts")
    page.select_option("#block", "factorial")
    page.select_option("#folder", "forum")
    assert "group" in text(page, "#counts")


def test_the_address_holds_the_view(browser, page):
    page.click("#filters summary:has-text('cell')")
    page.uncheck("#filters input[value='gru']")
    page.click("#groups button >> nth=1")
    page.select_option("#kind", index=2)
    page.click("nav a >> nth=4")
    address, said = page.evaluate("location.hash"), text(page, "#picked h3")
    with opened(browser, address) as other:
        for place in ("#counts", "#about", "#learned", "#post-answer"):
            assert text(other, place) == text(page, place)
        assert text(other, "#picked h3") == said
        assert other.evaluate("scrollY") > 1000


@pytest.mark.parametrize(
    ("width", "scheme"), [(320, "dark"), (390, "light"), (820, "dark"), (1280, "light")]
)
def test_nothing_is_wider_than_the_screen(browser, width, scheme):
    with opened(browser, width=width, height=800, color_scheme=scheme, has_touch=True) as page:
        page.select_option("#kind", index=4)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_finger_moves_the_state(browser):
    with opened(browser, width=390, height=800, has_touch=True, is_mobile=True) as page:
        box = box_of(page, "#plane")
        page.touchscreen.tap(box["x"] + 0.6 * box["width"], box["y"] + 0.3 * box["height"])
        assert "You moved the state by" in text(page, "#consequence")


def test_every_control_has_a_name_and_can_be_reached_by_key(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, canvas")]
            .filter((one) => !one.hidden && !(one.getAttribute("aria-label") || one.labels?.length
                || one.textContent.trim())).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"tour-do", "plane", "push", "noise", "gate-f", "update", "post-lr"} <= reached
