"""Synthetic text: what arms hold, pools that share nothing, estimates by hand."""

import itertools

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_corpus import VOCABULARY

from cells import cell
from dataworth.errors import UserError
from dataworth.studies.synthetic_text import REAL, RETRIEVED, SYNTHETIC, SyntheticText, mixed, run
from dataworth.text.count_models import first_tokens
from dataworth.text.counts import counted
from dataworth.text.lineages import LineageSpec
from dataworth.text.tokens import load_parts, run_text_tasks


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"factors": (4, 2, 8, 64)}, "factors must rise"),
        ({"other_factors": (2, 5)}, "other_factors holds 5, which factors lacks"),
        ({"generator_tokens": 100_000}, "it must be one of the sizes of the main arms, 16,000"),
        ({"generator": "gpt-5"}, "must be one of unigram, bigram, trigram"),
        ({"other_generators": ("lm-2m",)}, "must be one of unigram, bigram, trigram"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        cell(SyntheticText, **change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def small(**changes):
    settings = {
        "base_tokens": 200,
        "factors": (1, 2, 4, 8),
        "other_factors": (2, 4),
        "generator_tokens": 400,
        "generations": 2,
        "held_out_documents": 20,
        "document_tokens": 50,
        "vocabulary": VOCABULARY,
        "seeds": 2,
        "resamples": 100,
    }
    return SyntheticText.model_construct(**(cell(SyntheticText).model_dump() | settings | changes))


def test_pools_share_no_document_and_hold_enough(memos):
    params = small()
    size = dict(zip(memos.ids.tolist(), [len(t.encode()) for t in memos.texts], strict=True))
    (held,) = params.held_out()
    for number in range(2):
        a, b = params.pools(number)
        assert not set(a.ids) & set(b.ids)
        assert not set(held.part.ids) & {*a.ids, *b.ids}
        assert sum(size[i] for i in a.ids) >= 5 * 400
        assert sum(size[i] for i in b.ids) >= 5 * 1600
    assert params.pools(0) != params.pools(1)
    with pytest.raises(UserError, match="Choose smaller factors or base_tokens"):
        small(factors=(1, 2, 4, 80)).pools(0)


def test_arms_hold_as_many_tokens_as_they_say(memos):
    params = small()
    arms = params.arms()
    a, b = params.pools(1)
    for arm, rows in arms.items():
        for n, (_, spec) in rows.items():
            made = sum(e.tokens for e in spec.sampled)
            assert made + (spec.tokens or 0) == n
            assert spec.parts == ({RETRIEVED: (a,)}.get(arm, (b,)) if spec.tokens else ())
    assert list(arms[RETRIEVED]) == [200, 400]
    assert [e.tokens for e in arms[mixed(0.33)][800][0].sampled] == [264]
    lines = params.lineages()
    assert lines["replace"][0] == lines["accumulate"][0] == arms[RETRIEVED][400]
    assert lines["accumulate"][2][1].counts == arms[RETRIEVED][400][1]
    assert [spec.tokens for spec in lines[REAL][2]] == [1200, 1200]


def test_a_generation_learns_from_what_the_one_before_wrote(memos, store):
    params = small()
    cells = {
        arm: (rows[1][0], rows[2][0]) for arm, rows in params.lineages().items() if arm != REAL
    }
    kinds = {}
    for arm, specs in cells.items():
        for spec in specs:
            (result,) = run_text_tasks([spec], store=store, workers=1)
            kinds[arm, spec.generation] = result.metrics["parameters"]
    # by hand, from the pieces
    first = cells["replace"][0].counts
    (real,) = load_parts(first.tokenizer, first.parts, store)
    end = first.tokenizer.end
    texts = [first_tokens(real, 400, "parts")]
    known = texts[0]
    for generation in (0, 1):
        model = counted(known, 3, VOCABULARY, end)
        stream = np.random.SeedSequence([0, generation]).generate_state(1)
        written = model.sample(400, temperature=1.0, seed=int(stream[0]))
        texts.append(first_tokens(written, 400, "sampled"))
        known = [d for text in texts for d in text]
        of_all = counted(known, 3, VOCABULARY, end)
        assert kinds["accumulate", generation + 1] == sum(len(x.kinds) for x in of_all.levels)
    alone = counted(texts[1], 3, VOCABULARY, end)
    assert kinds["replace", 1] == sum(len(x.kinds) for x in alone.levels)
    assert kinds["replace", 2] < kinds["accumulate", 2]
    with pytest.raises(ValidationError, match="of real text alone"):
        LineageSpec(counts=params.learner(first.parts), generation=1, accumulate=True)


def test_a_study_from_end_to_end(memos, store):
    study = run(small(), store)
    p = study.params
    nats = [
        r.arrays["nats_test"].sum() / r.arrays["tokens_test"].sum() for r in study.arms[REAL][800]
    ]
    assert study.at(REAL, 800).value == pytest.approx(np.mean(nats))
    assert study.over_retrieval().value == pytest.approx(
        study.at(SYNTHETIC, 1600).value - study.at(RETRIEVED, 400).value
    )
    kept = study.cell_means()["counts"]  # what a ledger keeps says the same
    rows = [i for i, at in enumerate(kept["at"]) if at[:2] == [REAL, 800]]
    assert np.mean([kept["loss_test"][i] for i in rows]) == pytest.approx(np.mean(nats), rel=1e-6)
    losses = {0.0: study.at(REAL, 1600), **{100 * s: study.at(mixed(s), 1600) for s in p.shares},
              100.0: study.at(SYNTHETIC, 1600)}  # fmt: skip
    best = min(losses, key=lambda share: losses[share].value)
    assert study.best_share().value == best
    first, last = (
        np.mean([r.metrics["loss_test"] for r in study.lineages["replace"][g]]) for g in (0, 2)
    )
    assert study.rise("replace").value == pytest.approx(last - first, rel=1e-6)
    assert study.generations["replace"].sizes.tolist() == [1, 2, 3]
    worth = study.worth().at(400)
    assert worth.value > 0 and worth.low <= worth.high
    for a, b in itertools.pairwise(study.curves[REAL].means):
        assert b < a  # more real text of one kind is better
    assert study.table().shape == (len(study.arms), 4)
