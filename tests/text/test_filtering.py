"""Filters: what arms keep, gains and controls by hand, scores of tasks, both studies end to end."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from tiny_corpus import TINY, WORDS

from cells import cell
from dataworth.errors import UserError
from dataworth.studies import filter_arms, filtering
from dataworth.studies import text as study
from dataworth.studies.filter_tasks import TASKS, auroc_draws
from dataworth.studies.filtering import (
    WHOLE,
    Arm,
    Chosen,
    Filtered,
    QualityFilter,
    ToxicityFilter,
    run,
)
from dataworth.text import scorers
from dataworth.text.models import MODELS
from dataworth.text.pools import CRAWL, DOMAINS, Pool

SMALL = {
    "model": "lm-0.1m",
    "vocabulary": 300,
    "pool_bytes": 20_000,
    "tokens": 4096,
    "batch": 4,
    "context": 32,
    "held_out_tokens": 500,
    "resamples": 100,
    "equal": (80,),
    "examples": 12,
    "steps": 3,
    "questions": 8,
    "prompts": 3,
    "samples": 2,
}


class Made(SimpleNamespace):
    def of_domains(self, *names):
        rows = np.flatnonzero(np.isin(self.domains, names))
        return Made(
            texts=tuple(self.texts[r] for r in rows),
            ids=self.ids[rows],
            domains=self.domains[rows],
            labels={},
        )

    def __len__(self):
        return len(self.ids)


def corpus(card, split=None):
    """400 documents of 5 to 40 words; the ids differ between cards and splits."""
    number = sorted({d.card for d in DOMAINS.values()}).index(card)
    place = ["train", "validation", "test"].index(split)
    rng = np.random.default_rng([number, place])
    names = sorted({c for d in DOMAINS.values() if d.card == card for c in d.only} or {card})
    words = [*WORDS["sea"], *WORDS["field"]]
    texts = [" ".join(rng.choice(words, rng.integers(5, 40))) for _ in range(400)]
    return Made(
        texts=tuple(f"{i} {text}" for i, text in enumerate(texts)),
        ids=np.arange(400) + 10_000 * number + 1000 * place,
        domains=np.array(names)[np.arange(400) % len(names)],
        labels={"spam": np.where(rng.random(400) < 0.4, "spam", "ham")},
    )


class Counting:
    """Share of words that are in a set; or whether one is."""

    def __init__(self, words, any_=False):
        self.words, self.any = set(words), any_

    def score(self, texts):
        found = [np.mean([word in self.words for word in t.split()] or [0]) for t in texts]
        return np.array([float(x > 0) if self.any else float(x) for x in found])


@pytest.fixture
def cards(monkeypatch):
    monkeypatch.setattr("dataworth.data.load_corpus", corpus)
    monkeypatch.setattr(study, "TOKENIZER_BYTES", 2000)
    monkeypatch.setattr(filtering, "excerpt", lambda text, n: text[:n])
    monkeypatch.setitem(MODELS, "lm-0.1m", TINY)
    made = {
        "quality": Counting(WORDS["sea"]),
        "toxicity": Counting(["cow", "hay", "soil", "mill", "grain", "barn", "seed"]),
        "bad-words": Counting(["fish"], any_=True),
    }
    made["toxicity"].score = lambda texts, old=made["toxicity"].score: np.minimum(
        1, 2.5 * old(texts)
    )
    for name, scorer in made.items():
        known = scorers.Known(lambda scorer=scorer: scorer, scorers.SCORERS[name].good)
        monkeypatch.setitem(scorers.SCORERS, name, known)
    monkeypatch.setattr(study, "LEAST", 1)
    return made


# --- What arms keep ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kept": (91, 91)}, "must be distinct"),
        ({"kept": (101,)}, "less than 100"),
        ({"tasks": (90,)}, "tasks holds 90, which is not in kept"),
        ({"task_controls": (84,)}, "task_controls holds 84, which is not in controls"),
        ({"matched": 84}, "matched holds 84, which is not in kept"),
        ({"controls": (91, 73), "task_controls": (73,)}, "controls must reach as low as kept"),
        ({"equal": (91, 45)}, "equal must be 46 or more"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(QualityFilter, **change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def named(arms):
    return {str(arm): chosen for arm, chosen in arms.items()}


def test_arms_hold_the_best_the_worst_or_any_documents(cards, store, monkeypatch):
    params = cell(QualityFilter, **SMALL, pareto_bytes=24_000, alpha=2)
    with pytest.raises(UserError, match="rules for pages refuse all"):
        params.arms(store)
    long = lambda texts: SimpleNamespace(kept=np.array([len(t.split()) > 20 for t in texts]))  # noqa: E731
    monkeypatch.setattr(filter_arms, "refusals", long)
    arms = named(params.arms(store))
    assert min(len(t.split()) for t in arms["rules for pages"].pools[0].texts) > 20
    assert list(arms) == [
        "whole", "quality 91 %", "quality 73 %", "quality 46 %",
        "inverse quality 73 %", "random 73 %", "random 46 %",
        "larger crawl, quality 80 %", "mix of quality 73 %", "Pareto sampling", "rules for pages",
    ]  # fmt: skip
    for one in zip(*(arm.pools for arm in arms.values()), strict=True):  # of one run
        crawl = set(one[0].ids.tolist())
        assert all(set(pool.ids.tolist()) <= crawl for pool in one[:7])
    assert len({tuple(pool.ids.tolist()) for pool in arms["whole"].pools}) == 3  # drawn anew
    whole = arms["whole"].pools[0]
    score = dict(zip(whole.ids.tolist(), cards["quality"].score(whole.texts), strict=True))
    for share in (91, 73, 46):
        arm = arms[f"quality {share} %"]
        inside = [score[i] for i in arm.pools[0].ids.tolist()]
        outside = [score[i] for i in set(score) - set(arm.pools[0].ids.tolist())]
        assert min(inside) == arm.cut >= max(outside)
        assert arm.pools[0].bytes == pytest.approx(share / 100 * whole.bytes, rel=0.02)
    inverse = arms["inverse quality 73 %"]
    inside = [score[i] for i in inverse.pools[0].ids.tolist()]
    assert max(inside) == inverse.cut <= np.quantile(list(score.values()), 0.8)
    one, two, _ = arms["random 73 %"].pools
    assert set(one.ids.tolist()) != set(two.ids.tolist())
    assert arms["larger crawl, quality 80 %"].pools[0].bytes == pytest.approx(whole.bytes, rel=0.03)
    for matched, like in zip(
        arms["mix of quality 73 %"].pools, arms["quality 73 %"].pools, strict=True
    ):
        assert matched.shares()["mail"] == pytest.approx(like.shares()["mail"], abs=0.05)


def test_a_toxicity_filter_keeps_the_low_scores_and_meets_the_other_chapters_arms(
    cards, store, monkeypatch
):
    arms = named(cell(ToxicityFilter, **SMALL).arms(store))
    whole = arms["whole"].pools[0]
    score = dict(zip(whole.ids.tolist(), cards["toxicity"].score(whole.texts), strict=True))
    strict = arms["toxicity 61 %"]
    outside = [score[i] for i in set(score) - set(strict.pools[0].ids.tolist())]
    assert max(score[i] for i in strict.pools[0].ids.tolist()) == strict.cut <= min(outside)
    assert all("fish" not in text.split() for text in arms["word list"].pools[0].texts)
    everything = lambda texts: SimpleNamespace(kept=np.ones(len(texts), bool))  # noqa: E731
    monkeypatch.setattr(filter_arms, "refusals", everything)
    there = named(cell(QualityFilter, **SMALL, pareto_bytes=24_000).arms(store))
    for name in ("whole", "quality 91 %", "quality 46 %", "inverse quality 73 %"):
        assert arms[name].pools[0].parts() == there[name].pools[0].parts()


def made_pool(n=200, seed=0):
    rng = np.random.default_rng(seed)
    return Pool(
        split="train",
        cards=np.full(n, "c"),
        domains=rng.choice(list(CRAWL), n, p=[0.8, 0.2]),
        ids=np.arange(n),
        sizes=rng.integers(10, 300, n),
        texts=("x",) * n,
        starts=np.full(n, -1),
    )


@given(st.integers(0, 500), st.floats(0.3, 0.9))
def test_a_matched_choice_has_the_domains_bytes(seed, share):
    pool = made_pool(seed=seed)
    like = pool.random_drop(share, seed + 1)
    found = pool.matched(like, seed)
    for name in CRAWL:
        wanted = like.sizes[like.domains == name].sum()
        assert abs(found.sizes[found.domains == name].sum() - wanted) <= 300


def test_what_no_scorer_reads_takes_no_part(cards, store, monkeypatch):
    """Foreign documents are in no arm; those that a scorer alone does not know go first."""
    foreign = "der die das und ist nicht ich ein eine " * 2

    def load(card, split=None):
        found = corpus(card, split)
        texts = [foreign if i % 10 == 0 else t for i, t in enumerate(found.texts)]
        found.texts = tuple("x" if i % 10 == 5 else t for i, t in enumerate(texts))
        return found

    class Knowing:
        def score(self, texts, of=cards["toxicity"].score):
            return np.where([t == "x" for t in texts], np.nan, of(texts))

    monkeypatch.setattr("dataworth.data.load_corpus", load)
    monkeypatch.setitem(scorers.SCORERS, "toxicity", scorers.Known(Knowing, "low"))
    params = cell(ToxicityFilter, **SMALL, kept=(98, 61), tasks=(61,))
    arms, whole = params.arms(store), params.wholes[0]
    assert foreign in params.crawl(0).texts and "x" in whole.texts
    assert all(foreign not in pool.texts for arm in arms.values() for pool in arm.pools)
    for name in (Arm("toxicity", 98), Arm("toxicity", 61), Arm("toxicity", 92, "inverse")):
        assert "x" not in arms[name].pools[0].texts and np.isfinite(arms[name].cut)
    study = Filtered(params, arms, {}, {}, store)
    table = study.unscored()
    drawn = params.crawl(0)
    assert table.documents.tolist() == [len(drawn) - len(whole), 0, whole.texts.count("x")]
    assert table.loc["every arm", "percent of bytes"] == pytest.approx(
        100 * (1 - whole.bytes / drawn.bytes)
    )
    run_of = SimpleNamespace(metrics={"epochs": [1.0]})
    made = Filtered(params, arms, {name: [run_of] for name in arms}, {}, store)
    sets = made.sets()
    assert sets.unscored["whole"] > 0 == sets.unscored["toxicity 61 %"]
    assert sets[["quality", "toxic"]].notna().all().all()
    lost = made.removed_quality(made.arm("toxicity", 61))
    assert np.isfinite([lost.value, lost.low, lost.high]).all()


# --- Gains and controls -----------------------------------------------------------------------


def arm_of(name):
    return WHOLE if name == "whole" else Arm(name, KEPT[name], KINDS[name])


def made_study(losses, documents=300, spread=0.0, resamples=400):
    """Runs in which every document of an arm costs losses[arm] bits per byte in every domain."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 60, documents)
    noise = rng.normal(size=documents) * spread
    runs, arms = {}, {}
    for name, loss in losses.items():
        arm = arm_of(name)
        arrays = {}
        for domain in DOMAINS:
            arrays[f"ids_{domain}"] = np.arange(documents)
            arrays[f"bytes_{domain}"] = sizes
            arrays[f"nats_{domain}"] = (loss + noise) * np.log(2) * sizes
        runs[arm] = [SimpleNamespace(arrays=arrays, metrics={})] * 2
        pool = SimpleNamespace(bytes=round(1e6 * KEPT[name] / 100))
        arms[arm] = Chosen((pool, pool))
    params = SimpleNamespace(resamples=resamples, seed=0, domains=DOMAINS, score="quality")
    return Filtered(params, arms, runs, {}, None)


LOSSES = {"whole": 2.0, "good": 1.9, "half": 2.2, "random": 2.1, "tiny": 3.0}
KEPT = {"whole": 100, "good": 70, "half": 80, "random": 60, "tiny": 20}
KINDS = {"whole": "whole", "good": "filter", "half": "filter", "random": "random", "tiny": "other"}


def test_gains_are_percent_of_the_baseline_and_controls_are_interpolated(cards):
    made = made_study(LOSSES, spread=0.3)
    good, half, random, tiny = map(arm_of, ("good", "half", "random", "tiny"))
    assert made.gain(good).value == pytest.approx(5, abs=0.1)
    assert made.gain(half).value < 0 and made.gain(WHOLE).value == 0
    assert made.neighbours(70) == [(random, 0.75), (WHOLE, 0.25)]
    assert made.neighbours(60.4) == [(random, 1.0)] and made.neighbours(58) == [(random, 1.0)]
    assert made.neighbours(109) == [(WHOLE, 1.0)]
    exact = made_study(LOSSES)
    control = 0.75 * 2.1 + 0.25 * 2.0
    assert exact.control(good, "books").value == pytest.approx(control)
    net = exact.gain(good, over="control")
    assert net.value == pytest.approx(100 * (1 - 1.9 / control))
    assert net.low == pytest.approx(net.value) == pytest.approx(net.high)  # pairs do not scatter
    with pytest.raises(UserError, match="an arm keeps 20 % of the bytes"):
        made.control(tiny, "books")
    rows = {row[0]: row[1:] for row in exact.decision()["rows"]}
    assert list(rows) == list(map(str, (half, good, tiny)))  # the strictest last, no random drop
    assert rows[str(good)][-1] == "better than dropping at random"
    assert rows[str(half)][-1] == "worse than dropping at random"
    assert rows[str(tiny)][2:] == ["not compared", "cannot be told from dropping as much at random"]
    table = made.gains()
    assert np.isnan(table.net[str(tiny)]) and not table.net.drop(str(tiny)).isna().any()
    assert (table.gain_low <= table.gain).all() and (table.gain <= table.gain_high).all()


def test_gains_by_domain_and_slopes(cards):
    made = made_study(LOSSES)
    good, half = arm_of("good"), arm_of("half")
    values, clear = made.by_domain([good, half])
    np.testing.assert_allclose(values, np.repeat([[5.0], [-10.0]], 8, axis=1))
    assert clear.all()
    found = made.slope({arm: made.gain(arm) for arm in (WHOLE, half, good)})
    expected = np.polyfit([0, 20, 30], [0, -10, 5], 1)[0]
    assert found.value == pytest.approx(expected)
    np.testing.assert_allclose(found.draws, expected)


# --- Scores of tasks --------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_the_area_under_the_curve_is_that_of_sklearn(seed):
    rng = np.random.default_rng(seed)
    positive = np.arange(80) < 30
    values = np.round(rng.normal(size=(3, 2, 80)) + positive, 1)  # ties
    found, _ = auroc_draws(values, positive, resamples=10, seed=0)
    for value, of_arm in zip(found, values, strict=True):
        assert value == pytest.approx(np.mean([roc_auc_score(positive, row) for row in of_arm]))


def test_draws_of_the_area_scatter_like_a_plain_bootstrap():
    rng = np.random.default_rng(1)
    positive = np.arange(120) < 50
    values = rng.normal(size=120) + positive
    _, draws = auroc_draws(values[None, None], positive, resamples=2000, seed=0)
    plain = []
    for _ in range(600):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(positive == c), (positive == c).sum()) for c in (0, 1)]
        )
        plain.append(roc_auc_score(positive[rows], values[rows]))
    assert draws.mean() == pytest.approx(np.mean(plain), abs=0.01)
    assert draws.std() == pytest.approx(np.std(plain), rel=0.1)


def test_tasks_are_asked_of_documents_outside_the_crawl(cards, store):
    params = cell(ToxicityFilter, **SMALL)
    tasks = params.downstream()
    held_out, trained = [], []
    for at, whole in enumerate(params.wholes):
        model = params.language_model(whole, at, keep_weights=True)
        (spec,) = tasks.specs("toxic", model)
        seen = {i for arm in params.arms(store).values() for i in arm.pools[at].ids.tolist()}
        assert not seen & set(spec.train.ids)
        assert all(not seen & set(e.part.ids) for e in spec.evaluations)
        for part, labels in zip(
            [spec.train, *(e.part for e in spec.evaluations)], spec.labels, strict=True
        ):
            assert labels.count("toxic") <= 12 and set(labels) == set(spec.classes)
            assert [("fish" in t.split()) for t in part.texts()] == [x == "toxic" for x in labels]
        held_out.append(spec.evaluations)
        trained.append(spec.train.ids)
    assert held_out[0] == held_out[1] == held_out[2] and len(set(trained)) == 3
    (choice,) = tasks.specs("choice", model)
    assert {g for q in choice.questions for g in q.groups} == set(DOMAINS)
    prompts = tasks.prompt_texts
    assert len(prompts["toxic"]) == len(prompts["other"]) == 3


# --- From end to end --------------------------------------------------------------------------


def test_a_study_from_end_to_end(cards, store, monkeypatch):
    changes = {"kept": (91, 61), "controls": (61,), "tasks": (61,), "quality_kept": (46,)}
    changes |= {"task_controls": (61,), "seeds": 2}
    params = cell(ToxicityFilter, **SMALL, **changes)
    made = run(params, store)
    assert list(map(str, made.tested)) == [
        "whole", "toxicity 61 %", "inverse toxicity 92 %", "random 61 %",
        "larger crawl, toxicity 80 %", "quality 46 %", "inverse quality 73 %",
    ]  # fmt: skip
    gains = made.gains()
    assert gains.gain["whole"] == 0 and gains.net["random 61 %"] == 0
    assert np.isnan(gains.net["quality 46 %"]) and gains.net.notna().sum() >= 8
    sets = made.sets()
    assert sets.toxic["toxicity 61 %"] < sets.toxic["whole"] <= sets.toxic["inverse toxicity 92 %"]
    assert sets.quality["quality 46 %"] > sets.quality["whole"]
    np.testing.assert_allclose(sets[list(CRAWL)].sum(axis=1), 100)
    changes_ = made.changes(made.tested)
    assert list(changes_) == list(TASKS)
    for found in changes_.values():
        assert list(found) == list(map(str, made.tested)) and found["whole"].value == 0
        assert all(np.isfinite([e.value, e.low, e.high]).all() for e in found.values())
    random, strict = made.arm("random", 61), made.arm("toxicity", 61)
    assert made.arm("whole") == WHOLE and made.arm("toxicity", 92, "inverse") in made.tested
    assert made.own_tested == [
        arm for arm in made.tested if arm != WHOLE and arm.rule != "quality"
    ] and list(map(str, made.filters)) == ["toxicity 91 %", "toxicity 61 %"]
    assert {"word list", "toxicity 61 %"} < {
        *map(str, made.own_arms)
    } and WHOLE not in made.own_arms
    assert not any(arm.rule == "quality" for arm in made.own_arms)
    with pytest.raises(UserError, match="arm: no arm 'quality' keeps 73 %; there are whole, tox"):
        made.arm("quality", 73)
    one = made.task_change(random, "toxic")
    assert changes_["toxic"]["random 61 %"].interval == one.interval
    both = made.mean_change([random, strict], "toxic")
    assert both.value == pytest.approx((one.value + made.task_change(strict, "toxic").value) / 2)
    values, clear = made.tasks_by_domain([WHOLE, random])
    assert values.shape == clear.shape == (2, len(made.domains)) and not clear[0].any()
    np.testing.assert_array_equal(values[0], 0)
    assert values[1, 0] == made.task_change(random, "margin", made.domains[0]).value
    kinds = [made.task(WHOLE, "generation", kind).value for kind in ("toxic", "other")]
    assert made.task(WHOLE, "generation").value == pytest.approx(np.mean(kinds))
    assert made.task(WHOLE, "accuracy", "books").value <= 100
    with pytest.raises(UserError, match="has no 'physics'"):
        made.task(WHOLE, "accuracy", "physics")
    lost = made.removed_quality(made.arm("toxicity", 61))
    held = made.arms[strict].pools
    rest = [w.take(~np.isin(w.ids, k.ids)) for w, k in zip(params.wholes, held, strict=True)]
    means = [
        np.average(
            np.concatenate([cards["quality"].score(pool.texts) for pool in pools_]),
            weights=np.concatenate([pool.sizes for pool in pools_]),
        )
        for pools_ in (rest, held)
    ]
    assert lost.value == pytest.approx(means[0] - means[1]) and lost.low < lost.value < lost.high
    removed = made.removed(2)
    assert len(removed) == 6 and removed.fate.nunique() == 3
    first = removed[removed.fate == removed.fate.iloc[0]].score.min()
    assert first >= removed[removed.fate == "never removed"].score.max()
    assert "fewer than 50 words" in " ".join(made.reasons().index)
    assert made.unscored().documents.tolist() == [0, 0, 0]
    kept_for_later = made.evidence([strict, random], ["toxic"])
    assert kept_for_later["tasks"]["toxic"] == [e.value for e in changes_["toxic"].values()]
    level = made.task(WHOLE, "toxic")
    assert kept_for_later["levels"]["toxic"] == {**level.evidence(), "chance": 50}
    assert made.fewest() == min(n for w in params.wholes for n in w.documents().values())
    assert kept_for_later["domains"]["gain"][0] == [
        made.gain(strict, name).value for name in made.domains
    ]
    assert set(kept_for_later["gains"]["arm"]) == set(map(str, made.own_arms))
    assert list(kept_for_later["cuts"]) == list(map(str, made.filters))
    counts = made.summary().runs
    assert counts["losses"] == 2 * len(made.arms)  # of trigrams
    assert counts["language models"] == 2 * len(made.tested)
    assert sum(t.runs for t in params.trainings()) == counts["language models"]
    assert made.provenance()["runs"] == (
        f"{2 * len(made.arms)} counts, 14 language-model, 14 multiple-choice, 14 fine-tune, "
        "14 generation"
    )

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(cell(ToxicityFilter, **SMALL, **changes), store)
    words = made.arm("word list")
    np.testing.assert_array_equal(again.gain(words).draws, made.gain(words).draws)
