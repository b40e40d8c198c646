"""Learning rates against their closed forms; the loop against torch, its checkpoints and restarts.
Which optimiser takes which weights: see the tests of classifiers and of language models."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dataworth.optimisation import (
    Descent,
    Optimisation,
    kept_weights,
    mean_losses,
    muon_class,
    orthogonalised,
    weights_of,
)

rates = st.builds(
    Optimisation,
    schedule=st.sampled_from(["cosine", "wsd", "wsd-sqrt"]),
    warmup=st.floats(0, 0.5),
    decay=st.floats(0, 0.5),
)


@given(rates, st.integers(2, 2000))
def test_rate_is_between_zero_and_its_peak(recipe, steps):
    values = np.array([recipe.rate(step, steps) for step in range(steps)])
    assert (values >= 0).all() and (values <= recipe.learning_rate * (1 + 1e-12)).all()


def test_cosine_rate():
    o = Optimisation(schedule="cosine", warmup=0.1, learning_rate=2.0)
    values = np.array([o.rate(step, 1000) for step in range(1000)])
    np.testing.assert_allclose(values[:100], 2 * np.arange(1, 101) / 100)
    done = np.arange(1, 901) / 900
    np.testing.assert_allclose(values[100:], 1 + np.cos(np.pi * done), atol=1e-12)
    assert values[-1] < 1e-5 * o.learning_rate
    flat = Optimisation(schedule="cosine", warmup=0, learning_rate=2.0)
    assert flat.rate(0, 1000) == pytest.approx(2, rel=1e-5)


def test_wsd_rate():
    o = Optimisation(schedule="wsd", warmup=0.1, decay=0.2, learning_rate=2.0)
    values = np.array([o.rate(step, 1000) for step in range(1000)])
    np.testing.assert_allclose(values[:100], 2 * np.arange(1, 101) / 100)
    np.testing.assert_array_equal(values[100:801], 2)  # the plateau
    np.testing.assert_allclose(values[800:], 2 * np.arange(200, 0, -1) / 200)
    none = Optimisation(schedule="wsd", warmup=0, decay=0, learning_rate=2.0)
    assert {none.rate(step, 50) for step in range(50)} == {2.0}


def test_wsd_sqrt_rate():
    o = Optimisation(schedule="wsd-sqrt", warmup=0.1, decay=0.3, learning_rate=2.0)
    rates = np.array([o.rate(step, 1000) for step in range(1000)])
    np.testing.assert_allclose(rates[:100], 2 * np.arange(1, 101) / 100)
    np.testing.assert_array_equal(rates[100:701], 2)
    assert (np.diff(rates[700:]) < 0).all()
    left = (1000 - np.arange(700, 1000)) / 300  # 1 - sqrt: Haegele et al. 2024, equation 1
    np.testing.assert_allclose(rates[700:], 2 * (1 - np.sqrt(1 - left)), atol=1e-12)
    assert 0 < rates[-1] < 0.01


# --- The loop ---------------------------------------------------------------------------------

ADAMW = Optimisation(optimizer="adamw", learning_rate=0.05)
STEPS = 12


def descent(optimisation=ADAMW, ema=0.8, **changes):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    made = Descent(model, optimisation, STEPS, ema=ema, **changes)

    def loss(step):
        torch.manual_seed(step)  # nothing but the step and the weights decides it
        x = torch.randn(8, 3)
        return (made.model(x) - x.sum(1, keepdim=True)).square().mean()

    return made, loss


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_loop_is_the_one_that_torch_documents():
    ours, loss = descent(Optimisation(optimizer="adamw", weight_decay=0, learning_rate=0.05), ema=0)
    trained = ours.run(loss)
    theirs, same = descent()
    optimizer = torch.optim.AdamW(theirs.model.parameters(), weight_decay=0, betas=(0.9, 0.999))
    expected = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = ours.optimisation.rate(step, STEPS)
        optimizer.zero_grad()
        value = same(step)
        value.backward()
        optimizer.step()
        expected.append(value.item())
    np.testing.assert_allclose(ours.losses, expected, rtol=1e-5)
    for mine, other in zip(trained.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
    means = np.mean(np.reshape(expected[:10], (2, 5)), axis=1)
    np.testing.assert_allclose(mean_losses(ours.losses, 5), means, rtol=1e-5)


def test_muon_is_that_of_torch_for_matrices_of_any_shape():
    torch.manual_seed(0)
    shapes = [(6, 9), (9, 6), (6, 6), (6, 9), (4, 12)]
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    mine = muon_class()(ours, lr=0.02, weight_decay=0.1)
    peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        mine.step()
        peer.step()
    for p, q in zip(ours, theirs, strict=True):  # torch's iteration is in bfloat16
        torch.testing.assert_close(p, q, rtol=0, atol=2e-3)


def test_orthogonalised_has_singular_values_near_one():
    torch.manual_seed(0)
    stack = torch.randn(3, 8, 20) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    values = torch.linalg.svdvals(orthogonalised(stack))
    assert ((values > 0.6) & (values < 1.3)).all()


def test_checkpoints_are_averaged_models_of_one_run():
    plain, loss = descent()
    undisturbed = state(plain.run(loss))
    made, loss = descent()
    seen = {}

    def look(step, model):
        assert not model.training and model is not made.model
        seen[step] = state(model)

    assert equal(state(made.run(loss, every=5, checkpoint=look)), undisturbed)
    assert list(seen) == [5, 10, 12] and equal(seen[12], undisturbed)
    stopped, loss = descent()
    weights = [state(stopped.model)]
    for step in range(5):
        stopped.step(loss(step))
        weights.append(state(stopped.model))
    # Torch starts the average at the weights after the first step.
    mean = weights[1]
    for later in weights[2:]:
        mean = {name: 0.8 * mean[name] + 0.2 * later[name] for name in mean}
    for name, value in seen[5].items():
        torch.testing.assert_close(value, mean[name])


def test_a_look_does_not_end_training_mode_without_an_average():
    alone, loss = descent(ema=0)
    expected = state(alone.run(loss))
    made, loss = descent(ema=0)
    modes = []
    made.run(loss, every=1, checkpoint=lambda step, model: modes.append(model.training))
    assert modes == [False] * STEPS and equal(state(made.model), expected)


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_a_restarted_run_ends_as_an_undisturbed_one(tmp_path, stop):
    plain, loss = descent()
    undisturbed = state(plain.run(loss))
    killed, loss = descent()
    for step in range(stop):
        killed.step(loss(step))
    killed.save(tmp_path / "checkpoint.pt")
    killed.step(loss(stop))  # lost with the kill
    again, loss = descent()
    again.resume(tmp_path / "checkpoint.pt")
    assert again.done == stop
    assert equal(state(again.run(loss)), undisturbed)
    np.testing.assert_array_equal(again.losses, plain.losses)
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    fresh, _ = descent()
    fresh.resume(tmp_path / "none.pt")
    assert fresh.done == 0


def test_what_follows_a_step_comes_before_the_average():
    ours, loss = descent(after=lambda: ours.model[0].weight.data.clamp_(-0.125, 0.125))
    trained = ours.run(loss)
    first, last = (trained[i].weight.detach().abs().max() for i in (0, 2))
    assert first <= 0.125 < last


def test_kept_weights_come_back():
    model = descent()[0].model
    arrays = kept_weights(model) | {"losses": np.zeros(2)}
    assert "weight:0.bias" in arrays and equal(weights_of(arrays), model.state_dict())
