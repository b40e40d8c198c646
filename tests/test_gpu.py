"""What runs on a GPU gives what it gives on a CPU; skipped where torch sees none.

Run alone (`pytest tests/test_gpu.py`): other tests hide the GPU.
"""

from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an optional extra")

from dataworth import compute  # noqa: E402
from dataworth.fit import fit  # noqa: E402
from dataworth.images.classifiers import (  # noqa: E402
    Budget,
    ImageOptimisation,
    Vit,
    predict,
    train,
)
from dataworth.images.generators import WEIGHTS, load  # noqa: E402
from dataworth.text.generation import generate, prompt_uniforms  # noqa: E402
from dataworth.text.models import Decoder, next_token_nats  # noqa: E402
from dataworth.text.training import PRETRAINING, token_nats  # noqa: E402
from dataworth.text.training import train as train_text  # noqa: E402

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
PROMPTS = ["a photo of a coat", "sandal", "bag", "a drawing of a dress", "ankle boot"]
SEEDS = [3, 1, 4, 1, 5]


@pytest.fixture
def on_cpu(monkeypatch):
    """Call to run what follows on the CPU, as if there were no GPU."""

    def switch():
        monkeypatch.setattr(compute, "device", lambda: torch.device("cpu"))
        compute.inference_dtype.cache_clear()
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    yield switch
    monkeypatch.undo()
    compute.inference_dtype.cache_clear()


@pytest.mark.parametrize("family", ["pixel-diffusion", "latent-diffusion", "masked-token"])
def test_images_are_those_of_the_cpu(family, on_cpu, monkeypatch):
    monkeypatch.setattr(compute, "inference_dtype", cache(lambda: torch.float32))
    model = load(WEIGHTS / family)
    assert next(model.transformer.parameters()).is_cuda
    together = model.generate(PROMPTS, 2.0, SEEDS)
    for i, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True)):
        np.testing.assert_array_equal(model.generate([prompt], 2.0, [seed])[0], together[i])
    on_cpu()
    there = load(WEIGHTS / family).generate(PROMPTS, 2.0, SEEDS)
    apart = np.abs(together.astype(float) - there).mean((1, 2))
    # Rounding: a grey level here and there; where it turns over a masked token, its surroundings.
    assert np.median(apart) < 0.1 and (apart < 1).mean() >= (0.6 if family == "masked-token" else 1)


def greys(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of four brightnesses, and which."""
    labels = np.arange(count) % 4
    noise = np.random.default_rng(0).integers(0, 40, (count, 28, 28))
    return (60 * labels[:, None, None] + noise).astype(np.uint8), labels


def test_a_classifier_learns_and_answers_alike(on_cpu):
    images, labels = greys(400)
    model, losses = train(
        images, labels, Vit(width=32, depth=1), Budget(amount=100, batch=32), ImageOptimisation(), 0
    )
    there = predict(model, images)
    assert (there.argmax(1) == labels).mean() > 0.99 and losses[-1] < losses[0]
    on_cpu()
    np.testing.assert_allclose(predict(model.cpu(), images), there, atol=2e-3)


def test_a_language_model_learns_answers_and_writes_alike(on_cpu):
    shape = Decoder(width=64, layers=2, heads=2, hidden=160)
    torch.manual_seed(0)
    rows = np.tile(np.arange(50, dtype=np.uint16), 80)[: 60 * 65].reshape(60, 65)
    model = shape.build(64).to(compute.device())
    slower = PRETRAINING.model_copy(update={"learning_rate": 5e-3})
    model, curve = train_text(model, rows, 1, slower)
    assert curve[-1] < 0.3 * curve[0]
    documents = [rows[0, 1:40].copy(), np.arange(7, dtype=np.uint16)]
    there = token_nats(model, documents, 63, 32)
    prompts = [rows[0, :5].copy(), rows[0, 9:13].copy()]
    uniforms = np.stack([prompt_uniforms(0, name, 3, 8) for name in "ab"])
    written = generate(model, prompts, uniforms, end=63, top_k=5)
    model.zero_grad()
    block = torch.from_numpy(rows[:2].astype(np.int64)).to(compute.device())
    loss, _ = next_token_nats(model, block[:, :-1], block[:, 1:])
    loss.backward()
    slope = model.embedding.grad.cpu().clone()
    on_cpu()
    model = model.cpu()
    for a, b in zip(token_nats(model, documents, 63, 32), there, strict=True):
        np.testing.assert_allclose(b, a, atol=0.05)  # bfloat16
    np.testing.assert_array_equal(generate(model, prompts, uniforms, end=63, top_k=5), written)
    model.zero_grad()
    block = block.cpu()
    next_token_nats(model, block[:, :-1], block[:, 1:])[0].backward()
    apart = (model.embedding.grad - slope).norm() / slope.norm()
    assert apart < 1e-3


def test_a_fit_is_that_of_numpy():
    rng = np.random.default_rng(0)
    n = np.geomspace(100, 1e5, 12)
    loss = (0.2 + 3 * n**-0.4) * np.exp(0.01 * rng.normal(size=12))
    here, there = (
        fit({"n": n, "loss": loss}, law="shifted", x="n", y="loss", bootstrap=200, device=device)
        for device in (None, "cuda")
    )
    np.testing.assert_allclose(
        there.mean_draws(there.curve.x), here.mean_draws(here.curve.x), rtol=1e-8
    )


# torch warns where it takes a kernel that adds up in any order.
@pytest.mark.filterwarnings("error:.*non-?deterministic", "error:.*does not have a determ")
@pytest.mark.parametrize("kind", ["classifier", "language model"])
def test_equal_inputs_give_equal_bits(kind):
    compute.set_deterministic()

    def weights():
        if kind == "classifier":
            images, labels = greys(100)
            return train(images, labels, Vit(width=32), Budget(amount=20), ImageOptimisation(), 0)[
                0
            ]
        torch.manual_seed(0)
        model = Decoder(width=64, layers=2, heads=2, hidden=160).build(64).to(compute.device())
        rows = np.random.default_rng(0).integers(0, 63, (40, 65)).astype(np.uint16)
        return train_text(model, rows, 2, PRETRAINING)[0]

    for a, b in zip(weights().parameters(), weights().parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
