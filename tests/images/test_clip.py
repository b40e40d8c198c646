"""Towers, losses, zero-shot, retrieval and probe against independent references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip import ClipLoss, list_models
from tiny_images import garments

from dataworth.errors import UserError
from dataworth.images import clip
from dataworth.images.augmentation import ImageOptimisation
from dataworth.images.captions import CLASS_WORDS
from dataworth.images.classifiers import Budget, cross_entropy
from dataworth.images.parts import RealPart, SyntheticPart, SyntheticPool
from dataworth.images.prompts import prompt

TINY = clip.Towers(width=16, depth=1, text_width=16, head_width=8, embedding=8)


def unit(shape, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(x, dim=-1)


@given(n=st.integers(2, 9), seed=st.integers(0, 99), scale=st.floats(1, 50))
@settings(max_examples=25, deadline=None)
def test_one_positive_each_is_the_clip_loss(n, seed, scale):
    images, words = unit((n, 5), seed), unit((n, 5), seed + 1)
    logits, own = scale * images @ words.T, torch.eye(n, dtype=torch.bool)
    both = clip.match_cross_entropy(logits, own) + clip.match_cross_entropy(logits.T, own)
    expected = ClipLoss()(images, words, torch.tensor(scale))
    assert float(both / 2) == pytest.approx(float(expected), rel=1e-5)
    labels = torch.arange(n)
    direct = torch.nn.functional.cross_entropy(logits, labels)
    direct = (direct + torch.nn.functional.cross_entropy(logits.T, labels)) / 2
    assert float(expected) == pytest.approx(float(direct), rel=1e-5)


@given(groups=st.lists(st.integers(0, 3), min_size=3, max_size=12), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_multi_positive_loss_is_the_direct_formula(groups, seed):
    """StableRep: H(p, q), p uniform over the other images of the caption, q their softmax."""
    z, g, t = unit((len(groups), 4), seed).double().numpy(), np.array(groups), 0.1
    terms = []
    for i in range(len(g)):
        others = [j for j in range(len(g)) if j != i]
        q = np.exp(z[others] @ z[i] / t)
        q /= q.sum()
        p = (g[others] == g[i]).astype(float)
        if p.sum():
            terms.append(-(p / p.sum() * np.log(q)).sum())
    found = clip.multi_positive_loss(torch.from_numpy(z).float(), torch.from_numpy(g), t)
    assert float(found) == pytest.approx(np.mean(terms) if terms else 0.0, rel=1e-4, abs=1e-5)


def test_multi_positive_loss_has_a_gradient_without_any_positive():
    z = unit((3, 4), 0).requires_grad_()
    clip.multi_positive_loss(z, torch.arange(3), 0.1).backward()
    assert torch.equal(z.grad, torch.zeros_like(z))


@given(n=st.integers(2, 12), words=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_retrieval_ranks_against_a_sorted_list(n, words, seed):
    rng = np.random.default_rng(seed)
    captions = [f"text {k}" for k in rng.integers(words, size=n)]
    table = {text: rng.normal(size=4).astype(np.float32) for text in set(captions)}
    images = rng.normal(size=(n, 4)).astype(np.float32)
    texts = np.stack([table[text] for text in captions])
    ranks = clip.retrieval_ranks(images, texts, captions)
    scores = images @ texts.T
    for i in range(n):
        order = np.argsort(-scores[i], kind="stable")
        first = next(r for r, j in enumerate(order) if captions[j] == captions[i])
        assert ranks["image_to_text"][i] == first
        order = np.argsort(-scores[:, i], kind="stable")
        first = next(r for r, j in enumerate(order) if captions[j] == captions[i])
        assert ranks["text_to_image"][i] == first


class Perfect:
    """Towers that know: an image's and a text's embedding is its class."""

    context_length = 16

    def __init__(self):
        self.visual = torch.nn.Module()
        self.visual.proj = None

    def encode_text(self, tokens, normalize=False):
        return tokens

    def encode_image(self, x, normalize=False):
        sums = x[:, 0].flatten(1).sum(1)  # the class is written in the first pixel
        return torch.nn.functional.one_hot(x[:, 0, 0, 0].add(1).mul(127.5).round().long(), 10) * (
            1.0 + 0 * sums[:, None]
        )


def test_zero_shot_and_retrieval_with_perfect_embeddings():
    names = [row[0] for row in CLASS_WORDS]

    def encode(words):
        return torch.stack(
            [
                torch.eye(10)[max(range(10), key=lambda c: (names[c] in w) * len(names[c]))]
                for w in words
            ]
        )

    labels = np.arange(30) % 10
    images = np.zeros((30, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = labels
    for templates in clip.TEMPLATE_SETS:
        weights = clip.class_weights(Perfect(), encode, templates)
        logits = 50 * clip.embed_images(Perfect(), images) @ weights
        assert (logits.argmax(1) == labels).all() and cross_entropy(logits, labels).max() < 1e-6
    words = [names[c] for c in labels]
    ranks = clip.retrieval_ranks(
        clip.embed_images(Perfect(), images), clip.embed_texts(Perfect(), encode, words), words
    )
    assert not any(rank.any() for rank in ranks.values())


def test_class_weights_average_the_templates(monkeypatch):
    torch.manual_seed(0)
    model, encode = TINY.build(28, *clip._vocabulary()).eval(), clip.tokenizer(TINY.context)
    found = clip.class_weights(model, encode, "photo")
    with torch.no_grad():
        e = model.encode_text(encode([t.format("coat") for t in clip.TEMPLATES["photo"]]), True)
    mean = e.mean(0) / e.mean(0).norm()
    np.testing.assert_allclose(found[:, 4], mean.numpy(), atol=1e-6)
    assert found.shape == (8, 10)
    with pytest.raises(UserError, match="templates is 'haiku'; it must be one of photo, clip-7"):
        clip.zero_shot_templates("haiku")
    assert len(clip.zero_shot_templates("clip-80")) == 80


def test_tokens_end_and_fit():
    ids = clip.tokenizer(8)(["a coat", "a photo of a dark plain long-sleeved button-up shirt", ""])
    _, end = clip._vocabulary()
    assert ids.shape == (3, 8) and (ids == end).sum(1).tolist() == [1, 1, 1] and ids[1, -1] == end


def test_ridge_probe_against_least_squares():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(40, 6)).astype(np.float32), rng.integers(10, size=40)
    others = rng.normal(size=(7, 6)).astype(np.float32)
    z = lambda a: (a - x.mean(0)) / (x.std(0) + 1e-6)  # noqa: E731
    targets = np.eye(10)[labels]
    penalty = 0.2
    design = np.vstack([z(x), np.sqrt(penalty * 40) * np.eye(6)])  # ridge as least squares
    response = np.vstack([targets - targets.mean(0), np.zeros((6, 10))])
    weights = np.linalg.lstsq(design, response, rcond=None)[0]
    expected = z(others) @ weights + targets.mean(0)
    found = clip.linear_probe(x, labels, others, penalty)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_texts_of_real_and_synthetic_parts(splits, store):
    whole = splits("fashion-mnist", "classifier_pool")
    part = RealPart(ids=tuple(whole.ids[:12].tolist()))
    words = clip.texts(part, store)
    assert words == clip.texts(part, store) and len(words) == 12
    reverse = RealPart(ids=part.ids[::-1])
    assert clip.texts(reverse, store) == words[::-1]  # a caption belongs to its image
    pool = SyntheticPool(weights="0" * 64, prompt_set="in-captions", names=("coat", "bag"), seed=3)
    for i, text in zip(
        (5, 6), clip.texts(SyntheticPart(pool=pool, ids=(5, 6)), store), strict=True
    ):
        whole_prompt = prompt("in-captions", pool.names[i % 2], (3 << 40) + i)
        assert whole_prompt == f"{pool.names[i % 2]}, {text}"
    pool = SyntheticPool(weights="0" * 64, prompt_set="classnames", names=("a red coat", "my bag"))
    assert clip.texts(SyntheticPart(pool=pool, ids=(0, 2, 3)), store) == [
        "a red coat", "a red coat", "my bag",
    ]  # fmt: skip


@pytest.mark.parametrize("objective", ["clip", "multi-positive"])
def test_training_is_deterministic_and_learns(objective):
    images, labels = garments(80)
    captions = [f"a photo of a {CLASS_WORDS[c][0]}" for c in labels]
    trained = [
        clip.train(
            images, captions, TINY, objective, Budget(amount=steps, batch=16),
            ImageOptimisation(learning_rate=5e-3, ema=0), 0,
        )
        for steps in (3, 3, 100)
    ]  # fmt: skip
    states = [model.state_dict() for model, *_ in trained]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    losses = trained[2][1]
    assert len(losses) == 2 and losses[-1] < losses[0]
    if objective == "clip":
        weights = clip.class_weights(trained[2][0], clip.tokenizer(16), "photo")
        logits = clip.embed_images(trained[2][0], images) @ weights
        assert (logits.argmax(1) == labels).mean() > 0.5


def test_features_before_the_projection():
    model = TINY.build(28, *clip._vocabulary()).eval()
    images, _ = garments(5)
    assert clip.embed_images(model, images).shape == (5, 8)
    features = clip.embed_images(model, images, projected=False)
    assert features.shape == (5, 16) and model.visual.proj is not None
    again = torch.from_numpy(features) @ model.visual.proj
    again = torch.nn.functional.normalize(again, dim=1).detach()
    np.testing.assert_allclose(again, clip.embed_images(model, images), atol=1e-5)


def test_named_towers_exist_in_open_clip():
    towers = clip.TOWERS["clip-b16"]
    assert towers.name in list_models()
    with torch.device("meta"):
        model = towers.build(224, 0, 0)
    assert sum(p.numel() for p in model.parameters()) == 149_620_737  # Radford et al.'s ViT-B/16
