"""Pages that quote results: each line finds its claim, and says what the ledgers say."""

import re

import pytest

from dataworth.book import chapters, evidence
from dataworth.book.layout import open_layout
from dataworth.claims import estimated, recorded_ledgers
from dataworth.claims_file import read
from dataworth.errors import UserError
from dataworth.markdown import literal

LAYOUT = open_layout("quick")
CHAPTERS = {c.id: c for c in chapters.find(LAYOUT.root)}
PAGES = [p for p in (LAYOUT.book).rglob("*.md") if evidence.LINE.search(p.read_text())]


def test_all_eight_questions_have_evidence_positions_and_an_experiment():
    text = "".join(p.read_text() for p in sorted(PAGES))
    questions = re.split(r"(?m)^## (?=\d\. )", text)[1:]
    assert sorted(q[0] for q in questions) == list("12345678")
    for question in questions:
        assert evidence.LINE.search(question), question[:40]
        assert len(re.findall(r"(?m)^\*\*(?:For|Against)\b", question)) >= 2
        assert "{cite}" in question and ".venv/bin/dataworth run " in question
        assert "**What would change our mind.**" in question
        # Numbers of ours come from ledgers: none is typed beside a verdict.
        assert not re.search(r"\b(supported|contradicted|inconclusive)\b", question)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(LAYOUT.book).as_posix())
def test_every_line_names_a_claim_that_exists(page):
    for chapter, claim in evidence.LINE.findall(page.read_text()):
        assert claim in read(CHAPTERS[chapter].claims).claims, (chapter, claim)


def test_a_line_says_what_the_ledger_says():
    (ledger,), _ = recorded_ledgers(LAYOUT.root, "per-class")
    line = ledger["claims"][0]
    asked = f"before\n\n% dataworth: evidence per-class {line['id']}\n\nafter\n"
    chapter = [CHAPTERS["per-class"]]
    told = evidence.filled(asked, "x.md", chapter, {"per-class": ledger}, {})
    assert literal(line["statement"]) in told and literal(estimated(line)) in told
    assert told.startswith("before\n") and told.endswith("after\n") and "Recorded" not in told
    told = evidence.filled(asked, "x.md", chapter, {}, {})
    assert "Not executed in this build" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("% dataworth: evidence mixng optimum", "no chapter"),
        ("% dataworth: evidence per-class optimum", "it has three-groups"),
    ],
)
def test_what_does_not_exist_is_one_sentence(line, told):
    (ledger,), _ = recorded_ledgers(LAYOUT.root, "per-class")
    with pytest.raises(UserError, match=told):
        evidence.filled(line, "x.md", [CHAPTERS["per-class"]], {"per-class": ledger}, {})
