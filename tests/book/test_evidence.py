"""Pages that quote results: each line finds its claim, and says what the ledgers say."""

import re

import pytest

from dataworth.book import chapters, ledger
from dataworth.book.evidence import evidence
from dataworth.book.layout import open_layout
from dataworth.claims import estimated, recorded_ledgers
from dataworth.claims_file import read
from dataworth.errors import UserError
from dataworth.markdown import literal

LAYOUT = open_layout("quick")
CHAPTERS = {c.id: c for c in chapters.find(LAYOUT.root)}
LINE = re.compile(rf"^{ledger.MARK} evidence ([\w-]+) ([\w-]+)$", re.MULTILINE)
PAGES = [p for p in (LAYOUT.book).rglob("*.md") if LINE.search(p.read_text())]


def test_all_eight_questions_have_evidence_positions_and_an_experiment():
    text = "".join(p.read_text() for p in sorted(PAGES))
    questions = re.split(r"(?m)^## (?=\d\. )", text)[1:]
    assert sorted(q[0] for q in questions) == list("12345678")
    for question in questions:
        assert LINE.search(question), question[:40]
        assert len(re.findall(r"(?m)^\*\*(?:For|Against)\b", question)) >= 2
        assert "{cite}" in question and ".venv/bin/dataworth run " in question
        assert "**What would change our mind.**" in question
        # Numbers of ours come from ledgers: none is typed beside a verdict.
        assert not re.search(r"\b(supported|contradicted|inconclusive)\b", question)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(LAYOUT.book).as_posix())
def test_every_line_names_a_claim_that_exists(page):
    for chapter, claim in LINE.findall(page.read_text()):
        assert claim in read(CHAPTERS[chapter].claims).claims, (chapter, claim)


def test_a_line_says_what_the_ledger_says():
    (found,), _ = recorded_ledgers(LAYOUT.root, "per-class")
    line, chapter = found["claims"][0], [CHAPTERS["per-class"]]
    told = evidence("per-class", line["id"], chapter, {"per-class": found}, {})
    assert literal(line["statement"]) in told and literal(estimated(line)) in told
    assert "Recorded" not in told
    assert "Not executed in this build" in evidence("per-class", line["id"], chapter, {}, {})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("mixng optimum", r"x\.md: 'mixng'.* no chapter"),
        ("per-class optimum", r"x\.md: .* it has three-groups"),
        ("per-class", r"x\.md: 'evidence' does not take 'per-class'"),
    ],
)
def test_what_does_not_exist_is_one_sentence(words, told):
    (found,), _ = recorded_ledgers(LAYOUT.root, "per-class")
    of = [CHAPTERS["per-class"]], {"per-class": found}, {}
    parts = {"evidence": lambda chapter, claim: evidence(chapter, claim, *of)}
    with pytest.raises(UserError, match=told):
        ledger.filled("x.md", f"% dataworth: evidence {words}", parts)
