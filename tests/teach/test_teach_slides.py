"""Slides and sheets: their numbers are those of the ledger and the notebook; plans are checked."""

import re
from types import SimpleNamespace

import pytest

from dataworth.book import chapters, parameters
from dataworth.book.chapters import Header
from dataworth.book.layout import open_layout
from dataworth.claims import estimated, recorded_ledgers
from dataworth.errors import UserError
from dataworth.runs.forecast import Forecast
from dataworth.teach import pack, plans, prose, sheets, slides

LAYOUT = open_layout("quick")
CHAPTERS = [c for c in chapters.find(LAYOUT.root) if c.claims.is_file()]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.id)
def test_every_chapter_has_a_lesson_whose_run_is_valid_and_changes_something(chapter):
    plan = plans.read(chapter, LAYOUT.root)
    given = plan.run.parameters
    resolved = parameters.of_chapter(chapter.id, "quick", LAYOUT.root, given)
    assert {r.name for r in resolved.rows if r.value != r.default} == set(given)
    assert 45 <= sum(plan.minutes.values()) <= 100
    assert len({q.question for q in plan.quiz}) == len(plan.quiz) >= 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("answer: 3", "answer: 9"), "1 to"),
        (("goals:", "gaols:"), "gaols"),
        (("seeds: 2", "{}"), "synthetic_scaling.yaml"),
    ],
)
def test_a_faulty_lesson_is_one_sentence(change, told, tmp_path):
    chapter = chapters.get(LAYOUT.root, "synthetic-scaling")
    text = (LAYOUT.root / "teach" / "synthetic_scaling.yaml").read_text().replace(*change)
    (tmp_path / "teach").mkdir()
    (tmp_path / "teach" / "synthetic_scaling.yaml").write_text(text)
    with pytest.raises(UserError, match=re.escape(told)):
        plans.read(chapter, tmp_path)


def deck_of(chapter_id):
    chapter = chapters.get(LAYOUT.root, chapter_id)
    notebook = chapters.read(chapter)
    about = {"name": "fig-a", "alt": 'Bars, "7" high', "caption": "Bars of $k$."}
    notebook.cells[-3].update(cell_type="code", outputs=[
        {"output_type": "display_data", "data": {"image/svg+xml": "<svg/>"},
         "metadata": {"dataworth": about}},
    ])  # fmt: skip
    header = chapters.header(chapter, chapters.read(chapter))
    (ledger,), _ = recorded_ledgers(LAYOUT.root, chapter.id)
    plan = plans.read(chapter, LAYOUT.root)
    made = slides.make(
        chapter, header, notebook, ledger, plan, "dataworth run x", "profile full", LAYOUT.book
    )
    return made, ledger, header


def test_a_deck_shows_each_claim_once_to_predict_and_once_with_its_verdict():
    deck, ledger, header = deck_of("per-class")
    predict = "".join(s.body for s in deck if s.title.startswith("Predict"))
    verdicts = "".join(s.body for s in deck if s.title == "Verdicts")
    from html import escape

    for line in ledger["claims"]:
        assert predict.count(escape(line["statement"])) == 1
        assert escape(estimated(line)) in verdicts and escape(estimated(line)) not in predict
    titles = [s.title for s in deck]
    assert titles.index("Verdicts") > titles.index("Predict before you look")
    assert any('src="figures/fig-a.svg"' in s.body for s in deck)
    page = slides.page(header.title, deck)
    assert page.count("<section>") == len(deck) and "aside class=notes" in page
    assert not re.search(r'(?:src|href)="https?:', page)
    assert 'alt="Bars, &quot;7&quot; high"' in page
    assert not re.search(r"\{(cite|term|numref)\}", page)


def test_a_quiz_gives_no_answer_away_and_its_key_names_each():
    header = Header("Why?", None, "", "cpu", {})
    plan = plans.read(chapters.get(LAYOUT.root, "mixing"), LAYOUT.root)
    given = sheets.quiz(header, plan, False, LAYOUT.book)
    key = sheets.quiz(header, plan, True, LAYOUT.book)
    assert "Answer" not in given and "<strong>" not in given
    assert key.count("Answer (") == len(plan.quiz) == key.count("<strong>")


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("Fan et al. {cite}`fan2024scaling` find", "Fan et al. (2024) find"),
        ("as known {cite}`ho2022guidance`.", "as known (Ho and Salimans, 2022)."),
        ("the {term}`interval <intervals>` of", "the interval of"),
        ("see [](images/per_class)", "see per class"),
        ("see [this](laws/fitting)", "see this"),
    ],
)
def test_roles_become_words(markdown, shown):
    assert prose.plainly(markdown, LAYOUT.book) == shown


def test_formulas_are_left_to_mathjax():
    assert "\\(a_1 &lt; b_2\\)" in prose.html("$a_1 < b_2$", LAYOUT.book)


def test_the_first_sentence_ends_where_it_should():
    told = prose.first_sentence("Fan et al. find 0.5 at best. Then they stop.")
    assert told == "Fan et al. find 0.5 at best."


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Forecast(0, 0), "trains nothing"),
        (Forecast(9, 0), "All its 9 runs are stored"),
        (SimpleNamespace(asked=9, missing=2, seconds=100.0), "2 of its 9 runs"),
    ],
)
def test_what_the_run_in_class_will_compute(found, told):
    assert told in pack.told_ahead(found)
