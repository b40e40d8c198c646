"""Partial rank correlation against closed forms, and the study of the chapter from end to end."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from tiny_images import use_tiny

from cells import cell
from dataworth.errors import UserError
from dataworth.images import parts
from dataworth.images.fidelity import FidelitySpec
from dataworth.stats import first_and_rest, partial_spearman
from dataworth.studies.prompts_and_guidance import (
    METRICS,
    Configuration,
    PromptsAndGuidance,
    Study,
    run,
)

# --- Partial rank correlation -------------------------------------------------------------------


def sample(count, variables, seed, ties=False):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(variables, count)) + rng.normal(size=count)
    return np.round(values) if ties else values


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_without_controls_it_is_spearman(seed, ties):
    x, y = sample(12, 2, seed, ties)
    assert partial_spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_one_control_has_a_closed_form(seed, ties):
    """(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)) of the rank correlations."""
    x, y, z = sample(15, 3, seed, ties)
    r = stats.spearmanr(np.stack([x, y, z]), axis=1).statistic
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial_spearman(x, y, [z]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_several_controls_come_from_the_inverse_of_the_rank_correlations(seed):
    values = sample(20, 5, seed)
    precision = np.linalg.inv(stats.spearmanr(values, axis=1).statistic)
    expected = -precision[0, 1] / np.sqrt(precision[0, 0] * precision[1, 1])
    assert partial_spearman(values[0], values[1], values[2:]) == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(5, 12), st.integers(0, 2))
def test_monotone_changes_leave_it_as_it_is(seed, count, controls):
    x, y, *z = sample(count, 2 + controls, seed)
    value = partial_spearman(x, y, z)
    same = partial(pytest.approx, nan_ok=True)  # few ranks may coincide with a control's
    assert np.isnan(value) or -1 <= value <= 1
    assert partial_spearman(y, x, z) == same(value)
    assert partial_spearman(np.exp(x), y**3, [3 * c - 1 for c in z]) == same(value)
    assert partial_spearman(-x, y, z) == same(-value)


def test_nothing_left_is_not_a_number():
    x, y = sample(8, 2, 0)
    assert np.isnan(partial_spearman(x, y, [x]))  # x is known from the control
    assert np.isnan(partial_spearman(np.ones(8), y))
    assert np.isnan(partial_spearman(x[:3], y[:3], [y[:3]]))  # one example too few


def test_an_estimate_is_the_first_value_and_percentiles_of_the_rest():
    e = first_and_rest(np.concatenate([[7.0], np.arange(101.0), [np.nan]]))
    assert (e.value, e.low, e.high) == pytest.approx((7.0, 2.5, 97.5))
    assert np.isnan(first_and_rest(np.array([1.0, np.nan])).low)


# --- Parameters -----------------------------------------------------------------------------------

SETS = {"prompt_sets": ("photo", "classnames"), "compared_generators": ()}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("guidances", (1.0, 2.0), "at least 3 items"),
        ("guidances", (1.0, 2.0, 2.0), "must be distinct"),
        ("guidances", (-1.0, 2.0, 3.0), "greater than or equal to 0"),
        ("prompt_sets", ("haiku", "photo"), "must be of"),
        ("learner", "resnet-50", "must be of vit-2x32"),
        ("sizes", (), "at least 1 item"),
        ("sizes", (5,), "distinct sizes of at least 10 images"),
        ("compared_generators", ("dall-e",), "must be of pixel-diffusion"),
        ("judged", 10, "greater than or equal to 20"),
    ],
)
def test_a_bad_parameter_is_one_sentence_that_names_it(field, value, words):
    with pytest.raises(ValidationError) as caught:
        cell(PromptsAndGuidance, **SETS | {field: value})
    error = caught.value.errors()[0]
    assert error["loc"][0] == field and words in error["msg"] and "\n" not in error["msg"]


def test_configurations_are_the_sweep_and_the_wordings_each_once():
    sets = SETS | {"compared_generators": ("masked-token", "pixel-diffusion")}
    params = cell(PromptsAndGuidance, **sets, guidances=(3.0, 1.0, 1.5), guidance=1.5)
    assert [c.guidance for c in params.sweep()] == [1.0, 1.5, 3.0]
    assert [c.prompt_set for c in params.wordings()] == ["photo", "classnames"]
    assert [c.name for c in params.configurations()] == [
        "photo, w = 1", "photo, w = 1.5", "photo, w = 3", "classnames, w = 1.5",
        "masked-token, photo, w = 1.5",
    ]  # fmt: skip
    families = [params.pool_of(c).family for c in params.configurations()]
    assert families == ["pixel-diffusion"] * 4 + ["masked-token"]


def test_a_reference_beyond_the_pool(splits):
    with pytest.raises(UserError, match="a real training set of 70 images was asked for"):
        PromptsAndGuidance.preflight(cell(PromptsAndGuidance, **SETS, reference_size=70))


# --- The study ------------------------------------------------------------------------------------


@pytest.fixture
def study(splits, generator, home, store, monkeypatch):
    """The whole chapter on tiny data."""
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    params = cell(
        PromptsAndGuidance,
        **SETS,
        guidances=(1.0, 1.5, 4.0),
        guidance=1.5,
        sizes=(20, 40),
        seeds=2,
        batch=8,
        judged=30,
        reference_size=40,
        budget=((10, 5),),
        solver_steps=1,
        resamples=100,
        retrain=True,
    )
    return run(params, store)


def test_a_study_from_end_to_end(study, store, monkeypatch):
    params = study.params
    assert set(study.runs) == {c.name for c in params.configurations()}
    table = study.table()
    assert list(table.index) == [c.name for c in params.configurations()]
    assert set(METRICS) <= set(table.columns) and table[list(METRICS)].notna().all(axis=None)
    for c in params.configurations():
        row, rows = table.loc[c.name], study.runs[c.name]
        losses = np.array([[r.metrics["loss_test"] for r in row] for row in rows])
        assert row.loss == pytest.approx(losses[-1].mean())
        assert row.low <= row.loss <= row.high
        assert row.top1 == pytest.approx(100 * np.mean([r.metrics["top1_test"] for r in rows[-1]]))
        k = -np.polyfit(np.log(params.sizes), np.log(losses.mean(1)), 1)[0]
        assert row.k == pytest.approx(k, abs=1e-7) and row.k_low <= row.k_high
        assert {r.spec.parts[0].pool.guidance for row in rows for r in row} == {c.guidance}
        assert {r.spec.model.width for row in rows for r in row} == {32}
    best, bowl = study.best()
    sweep = table.iloc[:3]
    assert study.lowest() == sweep.guidance.iloc[sweep.loss.argmin()]
    assert 1 <= best.low <= best.value <= best.high <= 4 and bowl.df == 0
    validated = {
        c: np.mean([r.metrics["loss_validation"] for r in study.runs[c.name][-1]])
        for c in params.configurations()
    }
    assert study.chosen == min(validated, key=validated.get)
    misled = study.misled("density")
    scales = {c.guidance: c for c in params.sweep()}
    chosen = min(scales.values(), key=validated.get)
    assert misled.value == pytest.approx(
        study.contrast(scales[study.preferred()["density"]], chosen).value
    )
    assert study.heterogeneity().df == 1
    assert study.heterogeneity(readable=1.1).df == 0
    groups = study.groups()
    assert list(groups["guidance sweep"].index) == ["w = 1", "w = 1.5", "w = 4"]
    assert list(groups["guidance sweep"].loss) == list(sweep.loss)
    assert list(groups["other prompt sets"].index) == ["classnames"]
    judged = study.fidelity[params.configurations()[0]].metrics
    assert groups["real images"].cosine.item() == judged["real_cosine"]
    preferred = study.preferred()
    assert set(preferred) == set(METRICS)
    assert preferred["frechet"] == sweep.guidance.iloc[sweep.frechet.argmin()]
    assert preferred["density"] == sweep.guidance.iloc[sweep.density.argmax()]
    below = study.below_best()
    assert [e.value for e in below.values()] == pytest.approx(list(sweep.top1 - sweep.top1.max()))
    assert sum(e.low == e.value == e.high == 0 for e in below.values()) >= 1
    ranks = study.ranks()
    assert set(ranks.index) == set(METRICS) and study.target == "k"
    expected = partial_spearman(table.deviation, table.k, [table.recognizability])
    assert ranks.partial["deviation"].value == pytest.approx(expected, nan_ok=True)
    expected = stats.spearmanr(table.density, table.k).statistic
    assert ranks.alone["density"].value == pytest.approx(expected, nan_ok=True)
    one, other = params.configurations()[:2]
    assert study.contrast(one, other).value == pytest.approx(
        table.loss.iloc[0] / table.loss.iloc[1]
    )
    rank = study.rank("coverage", given=["recognizability"])
    expected = partial_spearman(table.coverage, -table.loss, [table.recognizability])
    assert rank.value == pytest.approx(expected, nan_ok=True)
    k = study.rank("deviation", target="k", among=params.sweep())
    assert k.value == pytest.approx(
        stats.spearmanr(sweep.deviation, sweep.k).statistic, nan_ok=True
    )
    assert study.provenance()["runs"] == "17 classifier, 4 fidelity, 3 preview"
    assert list(study.summary()["runs"]) == [1, 16, 4, 3]

    # Same noise, same images: a preview shows what the pool holds.
    grid = study.grid()
    assert list(grid) == ["w = 1", "w = 1.5", "w = 4"]
    assert all(tiles.shape == (2, 56, 56) for tiles in grid.values())
    for c in params.configurations():
        images, _ = params.pool_of(c).load(np.arange(4), store)
        tile = grid[f"w = {c.guidance:g}"][["photo", "classnames"].index(c.prompt_set)]
        np.testing.assert_array_equal(tile[:28, :28], images[0])
        np.testing.assert_array_equal(tile[:28, 28:], images[1])
        np.testing.assert_array_equal(tile[28:, :28], images[2])

    # A second time, nothing is computed.
    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(params, store)
    assert again.table().equals(table)
    parts.generator_of.cache_clear()


def planted(losses, noise=0.01, **values):
    """A study whose configurations have these log losses."""
    params = cell(PromptsAndGuidance, **values)
    seen = params.configurations()
    judged = {c: SimpleNamespace(metrics={"recognizability": 0.9}) for c in seen}
    made = Study(params, {}, judged, [], None)
    rng = np.random.default_rng(0)
    made.__dict__["losses"] = {
        c: y + noise * np.concatenate([[0], rng.normal(size=999)])
        for c, y in zip(seen, map(losses, seen), strict=True)
    }
    return made


def test_the_best_scale_is_the_minimum_of_a_parabola():
    def bowl(c):  # beyond NEAR it is none
        return 9.0 if c.guidance > 4 else 0.2 * np.log(c.guidance / 1.8) ** 2

    best, misfit = planted(bowl).best()
    assert best.value == pytest.approx(1.8) and 1.6 < best.low < 1.8 < best.high < 2.1
    assert (misfit.df, misfit.chi2) == (1, pytest.approx(0, abs=1e-9))
    assert planted(bowl).lowest() == 2
    hill, _ = planted(lambda c: -bowl(c)).best()  # no minimum: an end, of the lower loss
    assert (
        hill.value == 1 if bowl(Configuration("photo", 1)) > bowl(Configuration("photo", 3)) else 3
    )
    kinked, bent = planted(lambda c: bowl(c) + 0.05 * (c.guidance == 1.5)).best()
    assert bent.p < 0.01
    assert np.log(kinked.high / kinked.low) > 1.5 * np.log(best.high / best.low)


def test_prompt_sets_differ_by_their_standard_deviation_beyond_noise():
    levels = dict(zip(("photo", "classnames", "clip-80", "in-captions"),
                      (0.0, 0.1, 0.2, 0.3), strict=True))  # fmt: skip
    off = planted(lambda c: levels[c.prompt_set]).heterogeneity().off
    assert off.value == pytest.approx(100 * np.std(list(levels.values())), rel=0.1)
    assert off.low < off.value < off.high
    alike = planted(lambda c: 0.0).heterogeneity()
    assert alike.off.low == alike.off.value == 0 and alike.df == 3


def test_the_judge_is_the_run_of_the_first_chapter(splits, home, generator, monkeypatch):
    from dataworth.studies.synthetic_scaling import SyntheticScaling

    sizes = (10, 20, 30, 40)
    sets = {"real_sizes": sizes, "synthetic_sizes": sizes, "retrieved_sizes": (), "fitted_from": 10}
    first = cell(SyntheticScaling, **sets, other_sizes=sizes[:3])
    mine = cell(PromptsAndGuidance, **SETS, reference_size=40)
    assert mine.reference().key == first.specs(first.arms()["real"])[-1][0].key
    judged = FidelitySpec(pool=mine.pool(), size=30, reference=mine.reference())
    assert judged.reference.keep_weights
    assert mine.specs(Configuration("photo", 1.5))[0][0].budget == mine.own_budget


def test_cost_counts_images_and_training():
    scales = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5)
    params = cell(PromptsAndGuidance, **SETS, sizes=(256,), guidances=scales)
    drawn = params.drawings()
    assert sum(d.images for d in drawn) == 3 * 7 * 256 and len(drawn) == 7
    learners, judge = params.trainings()
    assert (learners.model, learners.runs, judge.runs) == ("vit-2x32", 21, 1)
    assert learners.samples == learners.runs * params.own_budget.steps(256) * params.batch
