"""Mixing: which sets are mixed, predictions and exchange rates on known laws, a run end to end."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_images import use_tiny

from cells import cell
from dataworth.images import parts
from dataworth.studies.mixing import RULES, Mixed, Mixing, run
from dataworth.studies.synthetic_scaling import SyntheticScaling

N = (80, 320, 1280, 5120, 10240)
M = (80, 320, 1280, 5120)


def known(**changes):
    """The chapter's parameters with the sizes and ratios of this module."""
    own = {"real_sizes": N, "synthetic_sizes": M, "ratios": (1, 4, 16)}
    return cell(Mixing, **own | changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mixed_sizes": (80, 500)}, "mixed_sizes holds 500, which is not in real_sizes"),
        ({"mixed_sizes": (80, 5120)}, "no more than 5120 synthetic images"),
        ({"weighted_size": 5120}, "weighted_size must be one of mixed_sizes"),
        ({"weighted_ratio": 3}, "weighted_ratio must be one of ratios"),
        ({"ratios": (1, 1, 16)}, "must be distinct"),
        ({"ratios": (0, 16)}, "greater than 0"),
        ({"shares": (0.5, 1.0)}, "less than 1"),
        ({"shares": ()}, "at least 1 item"),
    ],
)
def test_a_bad_parameter_is_one_sentence(change, words):
    with pytest.raises(ValidationError) as caught:
        known(**change)
    message = caught.value.errors()[0]["msg"]
    assert words in message and "\n" not in message


def test_synthetic_images_reach_as_far_as_their_arm():
    params = known(mixed_sizes=(1280, 80), ratios=(16, 1, 4))
    assert params.mixed_sizes == (80, 1280) and params.ratios == (1, 4, 16)
    assert params.added(80) == (80, 320, 1280)
    assert params.added(1280) == (1280, 5120)


def test_mixed_sets_hold_the_sets_of_the_pure_arms(splits, generator, home, monkeypatch):
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    params = small()
    shared = set(SyntheticScaling.model_fields) & set(Mixing.model_fields)
    others = {"other_sizes": (10, 20, 30), "retrieved_sizes": (), "fitted_from": 10}
    scaling = cell(SyntheticScaling, **params.model_dump(include=shared), **others)
    _, pure = params.stored(("real", "synthetic"))
    assert pure == {arm: scaling.specs(scaling.arms()[arm]) for arm in pure}
    for s, spec in enumerate(params.mixed(20, 40, 0.25)):
        real, synthetic = spec.parts
        assert real == pure["real"][1][s].parts[0]
        assert list(synthetic.ids) == list(pure["synthetic"][-1][s].parts[0].ids)[:40]
        assert spec.part_weights == (0.75, 0.25) and not spec.keep_weights
    assert params.mixed(20, 40)[0].part_weights is None


# --- Known laws -------------------------------------------------------------------------------


def result(loss, name, spread=0.0, examples=200):
    """A stored run of two classes whose mean cross-entropy is `loss` on every split."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    noise = rng.normal(size=examples) * spread
    per_example = loss * np.exp(noise) / np.exp(noise).mean()
    margin = -np.log(np.expm1(per_example))  # loss = log(1 + exp(-margin))
    logits = np.stack([margin, np.zeros(examples)], 1)
    arrays = {}
    for split in ("validation", "test"):
        arrays[f"logits_{split}"] = logits
        arrays[f"labels_{split}"] = np.zeros(examples, np.int64)
    key = hashlib.sha256(name.encode()).hexdigest()[:32]
    return SimpleNamespace(arrays=arrays, spec=SimpleNamespace(identity=key))


def study(law, params=None, shares=lambda share: 1.0, spread=0.0):
    """A study whose losses are law(real, synthetic), times `shares` in the weighted mixtures."""
    params = params or known(mixed_sizes=(80, 320, 1280), resamples=100)
    both = lambda n, m, f=1.0: [  # noqa: E731
        result(f * law(n, m), f"{n} {m} {f} {s}", spread) for s in range(2)
    ]
    runs = {"real": [both(n, 0) for n in N], "synthetic": [both(0, m) for m in M]}
    for n in params.mixed_sizes:
        runs[f"mixed, {n}"] = [both(n, m) for m in params.added(n)]
    n, m = params.weighted_size, params.weighted_added
    runs["weighted"] = [both(n, m, shares(share)) for share in params.shares]
    return Mixed(params, runs)


def additive(rho, floor=0.3):
    return lambda n, m: floor + 3 * (n + m / rho) ** -0.5


@pytest.mark.parametrize("rho", [1.0, 4.0])
def test_the_rule_is_exact_where_it_holds(rho):
    mixed = study(additive(rho))
    table = mixed.predictions()
    assert set(table.rule) == set(RULES) and len(table) == 3 * 8
    errors = mixed.errors()
    assert errors["n + m/ρ"].value < 1e-4
    if rho > 1:
        assert errors["n + m"].value > 0.01 and errors["n or m"].value > 0.01
    else:
        assert errors["n + m"].value < 1e-4
    for asked in (80, 1280):
        assert mixed.exchange(asked).value == pytest.approx(rho, rel=0.02)
    worth = mixed.worth()
    np.testing.assert_allclose(worth[["added", "replaced"]], rho, rtol=0.02)
    n, m = 1280, 5120
    row = table[(table.real == n) & (table.synthetic == m) & (table.rule == "n + m")].iloc[0]
    assert row.predicted == pytest.approx(0.3 + 3 * (n + m) ** -0.5, rel=1e-3)
    assert row.measured == pytest.approx(additive(rho)(n, m), rel=1e-6)
    asked = mixed.decision()["rows"]
    assert sum(row[-1] != "not trained" for row in asked) >= len(worth) - 1
    for row in asked:
        n, m, loss, much, price = (float(x.split()[0].replace(",", "")) for x in row[:-1])
        assert loss == pytest.approx(additive(rho)(n, m) / additive(rho)(n, 0), rel=0.01)
        assert (much, price) == pytest.approx((m / rho, 1 / rho), rel=0.03)
        if row[-1] != "not trained":
            assert float(row[-1].split()[0]) == pytest.approx(loss, rel=0.01)


def test_adding_and_replacing_differ_when_synthetic_images_have_a_floor():
    """Alone they never do better than 0.6; beside real ones they are worth a fifth."""
    law = lambda n, m: (  # noqa: E731
        0.6 + 3 * (m / 2) ** -0.5 if n == 0 else additive(5)(n, m)
    )
    worth = study(law).worth().set_index(["real", "synthetic"])
    np.testing.assert_allclose(worth.added, 5, rtol=0.03)
    assert worth.replaced[1280, 5120] > 40
    harmful = study(lambda n, m: 0.3 + 3 * max(n - 0.05 * m, 1e-9 if n else m / 9) ** -0.5)
    assert np.isinf(harmful.worth().added).all()


def test_relative_loss_and_its_interval():
    mixed = study(additive(4), spread=0.3)
    table = mixed.relative().set_index(["real", "ratio"])
    assert list(table.index) == [
        *[(n, r) for n in (80, 320) for r in (1, 4, 16)], (1280, 1), (1280, 4),
    ]  # fmt: skip
    expected = additive(4)(80, 320) / additive(4)(80, 0)
    assert table.value[80, 4] == pytest.approx(expected, rel=1e-6)
    assert (table.low <= table.value).all() and (table.value <= table.high).all()
    c = mixed.mixed(1280)
    assert list(c.sizes) == [0, 1280, 5120]
    np.testing.assert_allclose(c.means, [additive(4)(1280, m) for m in c.sizes])


def test_the_best_of_the_other_weights_allows_for_the_choice():
    params = known(resamples=100, shares=(0.25, 0.5, 0.75))
    mixed = study(additive(4), params, shares=lambda share: 0.8 + (share - 0.5) ** 2, spread=0.3)
    shares, c = mixed.weighted
    np.testing.assert_allclose(shares, [0, 0.25, 0.5, 0.75, 16 / 17, 1])
    law = additive(4)
    np.testing.assert_allclose(c.means[[0, -2, -1]], [law(80, 0), law(80, 1280), law(0, 1280)])
    best, gain = mixed.other_weights()
    assert best == 0.5 and gain.value == pytest.approx(1 / 0.8)
    single = c.one(4).over(c.one(2))
    assert gain.low <= single.low and gain.high >= single.high
    worse = study(additive(4), params, shares=lambda share: 2 - share)  # none beats the natural
    best, gain = worse.other_weights()
    assert best == 0.75 and gain.value == pytest.approx(1 / 1.25)


class OnLoss(Mixed):
    """Losses in the place of errors, of which `result` has none."""

    def pure(self, arm, metric="loss"):
        return super().pure(arm)


def test_the_control_of_adding_is_as_many_real_images():
    """On a power law, straight in logs, reading between the sizes is exact."""
    law = lambda n, m: 3 * (n + m / 4) ** -0.4  # noqa: E731
    mixed = OnLoss(study(law).params, study(law).runs)
    for place, added in enumerate((0, 80, 320, 1280)):
        found = mixed.instead(80, place, 0)
        assert found.value == pytest.approx(law(80 + added, 0) / law(80, 0))
        np.testing.assert_allclose(found.draws, found.value)
    ends = known(resamples=100, mixed_sizes=(80, 5120), ratios=(0.5, 1), weighted_ratio=1)
    beyond = OnLoss(ends, study(law, ends).runs)
    assert beyond.instead(5120, 2, 0).value == pytest.approx(law(10240, 0) / law(5120, 0))


@pytest.mark.parametrize(("rho", "beats"), [(4.0, True), (1.0, False)])
def test_the_rule_is_held_against_the_better_of_the_simpler_ones(rho, beats):
    mixed = study(additive(rho), spread=0.1)
    errors, found = mixed.errors(), mixed.beyond_simpler()
    simpler = min(errors["n + m"].value, errors["n or m"].value)
    assert found.value == pytest.approx(errors["n + m/ρ"].value - simpler)
    assert (found.value < -0.01) is beats and len(found.draws) == 100


# --- From end to end --------------------------------------------------------------------------


def small(**changes):
    return cell(
        Mixing,
        **{
            "real_sizes": (10, 20, 30, 40),
            "synthetic_sizes": (10, 20, 30, 45),
            "mixed_sizes": (10, 20),
            "ratios": (1, 2),
            "weighted_size": 20,
            "weighted_ratio": 2,
            "shares": (0.25,),
            "seeds": 2,
            "budget": ((10, 5),),
            "batch": 8,
            "solver_steps": 2,
            "resamples": 100,
            "retrain": True,
        }
        | changes,
    )


def test_a_study_from_end_to_end(splits, generator, home, store, monkeypatch):
    generator.save(home / "generators" / "tiny")
    use_tiny(monkeypatch, home)
    mixed = run(small(), store)
    assert [len(r) for r in mixed.runs.values()] == [4, 4, 2, 2, 1]
    assert {len(row) for rows in mixed.runs.values() for row in rows} == {2}
    examples = [row[0].metrics["examples"] for row in mixed.runs["mixed, 20"]]
    assert examples == [40, 60]
    assert len(mixed.relative("error")) == 4 and len(mixed.worth()) == 4
    assert mixed.surface.params.keys() == {"E", "B", "beta", "k", "g"}
    assert mixed.exchange(30).value > 0
    shares, c = mixed.weighted
    assert len(shares) == len(c.means) == 3  # 40 synthetic images alone were not run
    assert set(mixed.errors()) == set(RULES)
    assert mixed.summary().runs.sum() == 26
    assert mixed.provenance()["runs"] == "26 classifier"

    monkeypatch.setattr("dataworth.runs.engine.execute", None)
    again = run(small(), store)
    np.testing.assert_array_equal(again.mixed(20).draws, mixed.mixed(20).draws)
    parts.generator_of.cache_clear()
