"""Text chapters on a card of the user's own: its years, domains, crawl and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_corpus import TINY, pile_corpus
from tiny_corpus import WORDS as KINDS

from cells import cell
from dataworth.data import add as adding
from dataworth.data import load_corpus
from dataworth.errors import UserError
from dataworth.studies import data_age, domains
from dataworth.studies.age_arms import DataAge, bytes_in
from dataworth.studies.domain_arms import Domains, authors_of
from dataworth.studies.filter_arms import QualityFilter
from dataworth.studies.party_task import HELD_OUT, corpus
from dataworth.studies.text import authors_in
from dataworth.text.models import MODELS
from dataworth.text.pools import CRAWL, DOMAINS, own_crawl

WORDS = (*KINDS["sea"], *KINDS["field"])
SMALL = {"seeds": 1, "vocabulary": 300, "batch": 8, "context": 32, "resamples": 100}


def rows(count: int = 240, kinds: int = 3, years: int = 24) -> list[dict[str, object]]:
    """Documents of about 900 bytes, of some kinds and years, by authors of three each."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        kind, year = f"kind {i % kinds}", 1990 + i * years // count
        words = rng.choice([*WORDS, *(f"{kind[-1]}{w}" for w in WORDS), str(i)], 160)
        made.append(
            {"text": f"{kind}, {i}. " + " ".join(words), "date": f"{year}-03-01",
             "domain": kind, "author": f"author {i // 3}", "topic": "ab"[i % 2]}
        )  # fmt: skip
    return made


def add(folder: Path, made: list[dict[str, object]], name: str = "mine", **said: object) -> None:
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, made)))
    adding.add(adding.request({"text": str(path), "id": name, **said}))


@pytest.fixture
def mine(home: Path, tmp_path: Path) -> str:
    add(tmp_path, rows())
    return "mine"


# ---- Dates --------------------------------------------------------------------------------------


def test_eras_are_of_the_cards_own_years_and_hold_equal_text(mine: str) -> None:
    params = cell(DataAge, card=mine)
    line, _ = params.lines
    assert len(line.eras) == 6 and (line.starts[0], line.last) == (1990, 2013)
    held = bytes_in(mine, line.eras)
    assert max(held) < 1.7 * min(held) and params.age_bytes == min(held)
    years = np.concatenate([corpus(mine, split).years for split in HELD_OUT])
    assert set(line.era_of(years).tolist()) == set(range(6))
    own = cell(DataAge, card=mine, era_starts=(1995, 2000, 2006), last_year=2010, decoder_eras=2)
    assert own.lines[0].eras == ((1995, 1999), (2000, 2005), (2006, 2010)) == own.party_line.eras
    asked = {i for e in own.documents_of(own.lines[0]).evaluations for i in e.part.ids}
    inside = [c.between(1995, 2010).ids.tolist() for c in (corpus(mine, s) for s in HELD_OUT)]
    assert asked == {*inside[0], *inside[1]}  # later ones are in no era
    assert {part.card for part in params.tokenizer().parts} == {mine}


@pytest.mark.slow
def test_without_the_label_there_is_no_fine_tuning_and_one_sentence(
    mine: str, store, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setitem(MODELS, "lm-0.1m", TINY)
    monkeypatch.setitem(MODELS, "lm-0.4m", TINY)
    add(tmp_path, rows(), "other")
    second = {"second_card": "other", "second_starts": (1990, 1998, 2006), "second_last": 2013}
    params = cell(DataAge, card=mine, **SMALL, **second, age_tokens=4096, document_tokens=60)
    ages = data_age.run(params, store)
    assert not ages.tuned and ages.main.matrix("slices").shape == (6, 6)
    assert ages.cube.lacking == (
        "mine has no column 'party' for fine-tuning to tell (label); it has author."
    )
    for e in (ages.cube.per_decade(40, "matched"), ages.cube.level(40)):
        assert np.isnan(e.value) and e.unmeasurable == ages.cube.lacking
    assert len(ages.cube.degradations()) == 0
    who = ages.main.held_out.authors
    assert set(who) <= {f"author {i}" for i in range(80)}  # the clusters of the noise


def test_a_label_of_ones_own(home: Path, tmp_path: Path) -> None:
    add(tmp_path, rows(), label_columns=("author", "topic"))
    params = cell(DataAge, card="mine", label="topic")
    assert params.classes == ("a", "b") and params.party_line.eras[0][0] == 1990
    half = params.task.halves()
    told = [set(params.task.speeches("train", 0, h)) for h in range(2)]
    assert told[0] and told[1] and not told[0] & told[1] and set(half.values()) == {0, 1}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (rows(24), r"hold [\d,]+ bytes to train on; this chapter compares three eras or more"),
        (rows(years=2), "of 1990 to 1991"),
        ([{**row, "date": None if i == 7 else row["date"]} for i, row in enumerate(rows())],
         r"1 of the \d+ documents of mine .* no date.*--undated drop"),
    ],
)  # fmt: skip
def test_dates_that_do_not_serve(home: Path, tmp_path: Path, made: list, words: str) -> None:
    add(tmp_path, made)
    with pytest.raises(ValueError, match=words) as caught:
        cell(DataAge, card="mine")
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("model", [DataAge, Domains, QualityFilter])
def test_what_is_no_card_of_texts(home: Path, model: type) -> None:
    with pytest.raises(ValueError, match=r"no corpus 'nothing'; there are .*dataworth data add"):
        cell(model, card="nothing")
    with pytest.raises(ValueError, match="'fashion-mnist' holds images"):
        cell(model, card="fashion-mnist")


# ---- Domains ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_domains_are_the_cards_own(mine: str, store, monkeypatch) -> None:
    monkeypatch.setitem(MODELS, "tiny", TINY)
    params = cell(
        Domains, card=mine, **SMALL, model="tiny", tokens=4096, held_out_tokens=500,
        questions=8, prompt=8, continuation=4,
    )  # fmt: skip
    assert set(params.domains) == {"kind 0", "kind 1", "kind 2"}
    assert sum(params.shares.values()) == pytest.approx(1) and params.few == (2,)
    text = load_corpus(mine, "train")
    assert params.pool_bytes <= sum(len(t.encode()) for t in text.texts)
    study = domains.run(params, store)
    whole = study.pools["full"][0]
    assert set(whole.domains) == set(params.domains) and study.fewest() >= 30
    assert study.harm("kind 0", own=True).low <= study.harm("kind 0", own=True).high
    assert study.table().group.tolist() == ["none"] * 3
    lacking = [study.mean_harm([]), study.agreement({}), study.answers_without("academic")]
    lacking += [study.largest_margin("books"), study.at_random(["books"], per_percent=True)]
    for e in lacking:
        assert np.isnan(e.value) and "no counterparts of the sources of the Pile" in e.unmeasurable
    assert np.isfinite(study.variety(2).value) and np.isfinite(study.size_correlation().value)
    held = next(e for e in params.held_out() if e.name == "kind 1").part
    assert set(authors_of(mine, np.array(held.ids))) <= {f"author {i}" for i in range(80)}


def test_domains_that_are_too_few_or_too_small(home: Path, tmp_path: Path) -> None:
    add(tmp_path, [*rows(), {**rows(1)[0], "text": "rare " * 40, "domain": "rare"}])
    with pytest.raises(ValueError, match=r"domain 'rare' of mine has 1 documents .* takes 30"):
        cell(Domains, card="mine")
    add(tmp_path, rows(kinds=2), "two")
    with pytest.raises(ValueError, match=r"two has 2 of the three domains .*--domain-column"):
        cell(Domains, card="two")


def test_documents_without_an_author_stand_for_themselves(home: Path, tmp_path: Path) -> None:
    add(
        tmp_path,
        [{**row, "author": None if i < 5 else row["author"]} for i, row in enumerate(rows(60))],
    )
    who = authors_in(load_corpus("mine"))
    assert sum(name.startswith("author") for name in who) == 55 and len(set(who)) == 5 + 19


# ---- A crawl ------------------------------------------------------------------------------------


@pytest.fixture
def crawl(mine: str, monkeypatch: pytest.MonkeyPatch) -> str:
    def load(card: str, split: str | None = None):
        return load_corpus(card, split) if card == "mine" else pile_corpus(card, split)

    monkeypatch.setattr("dataworth.data.load_corpus", load)
    monkeypatch.setattr("dataworth.studies.text.TOKENIZER_BYTES", 2_000)
    monkeypatch.setattr("dataworth.text.score_runs.why_unscored", lambda *_: None)
    monkeypatch.setattr("dataworth.text.scores.is_foreign", lambda _: False)
    return mine


def small(model: type, **changes: object):
    return cell(model, **SMALL, **{"examples": 8, "prompts": 2, "samples": 1} | changes)


def test_a_card_is_the_crawl_and_models_are_judged_on_it_and_on_edited_text(crawl: str) -> None:
    params = small(QualityFilter, card=crawl)
    rest = [name for name in DOMAINS if name not in CRAWL]
    assert list(params.domains) == [*params.crawl_domains, *rest]
    assert {d.card for d in params.crawl_domains.values()} == {crawl}
    held = sum(len(t.encode()) for t in load_corpus(crawl, "train").texts)
    assert params.pool_bytes * 100 / min(params.equal) <= held and params.pareto_bytes <= held
    (whole,) = params.wholes
    assert set(whole.cards) == {crawl} and whole.bytes == pytest.approx(params.pool_bytes, rel=0.05)
    assert {part.card for part in params.tokenizer().parts} > {crawl, "brown"}
    larger = params.crawls(2.0)[0]
    assert set(whole.ids.tolist()) < set(larger.ids.tolist())
    assert sorted(own_crawl(crawl, 10**9)) == ["kind 0", "kind 1", "kind 2"]
    assert list(own_crawl(crawl, 20_000)) == [crawl]  # of such a pool none would have 30 documents


def test_passages_of_held_out_text_are_not_trained_on(
    home: Path, tmp_path: Path, crawl: str
) -> None:
    news = [t for t in pile_corpus("brown", "test").texts if t.startswith("news")]
    add(tmp_path, [*rows(), *({**rows(1)[0], "text": text + " and so on"} for text in news)], crawl)
    params = small(QualityFilter, card=crawl)
    texts = " ".join(text for pool in params.crawls(2.0) for text in pool.texts)
    assert "kind 1" in texts and not any(text in texts for text in news)


# ---- Scorers by value ---------------------------------------------------------------------------


def test_a_list_of_patterns_is_the_filter_and_a_changed_one_scores_anew(
    crawl: str, store, tmp_path: Path
) -> None:
    listed = tmp_path / "unwanted.txt"
    listed.write_text("# words\n\\bgull\\b\n")
    params = small(QualityFilter, card=crawl, scorer=f"regex:{listed}")
    (scores,) = params.scores([params.scorer], store).values()
    (whole,) = params.wholes
    hits = {i: 100 * t.split().count("gull") / len(t.split())
            for i, t in zip(whole.ids.tolist(), whole.texts, strict=True)}  # fmt: skip
    assert all(scores[i] == pytest.approx(hits[i]) for i in hits)
    kept = params._filter(next(iter(_filters(params))), [whole], scores).pools[0]
    left = [scores[i] for i in whole.ids.tolist() if i not in kept.ids]
    assert max(scores[i] for i in kept.ids.tolist()) <= min(left)  # fewer unwanted words are better
    before = params.scores_of(params.scorer)
    listed.write_text("\\bwave\\b\n")
    after = params.scores_of(params.scorer)
    assert before.key != after.key and before.digest != after.digest
    assert params.scores([params.scorer], store)[params.scorer] != scores
    with pytest.raises(UserError, match="was changed while it was being used"):
        before.made()


def _filters(params: QualityFilter):
    from dataworth.studies.filter_arms import Arm

    return [Arm(params.score, kept) for kept in params.kept]


@pytest.mark.slow
def test_cards_of_the_quality_classifier(crawl: str, home: Path, tmp_path: Path) -> None:
    shipped = small(QualityFilter, card=crawl).scores_of("quality")
    assert shipped.positives == () == shipped.negatives
    own = small(QualityFilter, card=crawl, positives=("brown",), negatives=(crawl,))
    spec = own.scores_of("quality")
    assert (spec.positives, spec.negatives) == (("brown",), (crawl,)) and spec.key != shipped.key
    found = spec.made()
    assert found.trained_on == "positives: brown; negatives: mine (train)"
    good, bad = (np.nanmean(found.score(list(c.texts))) for c in
                 (pile_corpus("brown", "test"), load_corpus(crawl, "test")))  # fmt: skip
    assert good > bad + 0.2
    with pytest.raises(ValueError, match="no corpus 'nowhere'"):
        small(QualityFilter, card=crawl, positives=("nowhere",))
