"""Scorers, filters and heuristics against the packages they stand on and closed forms."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataworth.errors import UserError
from dataworth.text import excerpts, filters, language, toxicity
from dataworth.text.excerpts import excerpt
from dataworth.text.heuristics import c4, gopher, refusals, repetition
from dataworth.text.language import is_foreign
from dataworth.text.quality import fit_quality, passages
from dataworth.text.scorers import SCORERS, Known, scorer
from dataworth.text.scores import (
    agreement,
    chunks,
    cohen_kappa,
    overlapping,
    pooled,
    require_texts,
    unscored,
)
from dataworth.text.toxicity import BadWords, DetoxifyToxicity, LinearToxicity, batches

PLAIN = [
    "The committee met on Tuesday and agreed on the budget for the coming year.",
    "You are an idiot and a complete moron, shut up!",
    "I love this garden; the roses are lovely.",
    "What the hell is wrong with you, you stupid jerk?",
    "",
    "def add(a, b):\n    return a + b",
]
PHRASES = ("darn", "heck no", "frick", "a.s.s", "☠")


@pytest.fixture
def word_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of harmless phrases in the place of the card."""
    monkeypatch.setattr(
        "dataworth.data.load_corpus", lambda card: SimpleNamespace(texts=PHRASES), raising=False
    )
    toxicity._list.cache_clear()
    excerpts._offensive.cache_clear()
    yield
    toxicity._list.cache_clear()
    excerpts._offensive.cache_clear()


# ---- pieces of long documents -----------------------------------------------------------------


@given(st.text("ab \n\t", max_size=200), st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_pieces_hold_every_word_once(text: str, words: int) -> None:
    found = chunks(text, words)
    assert [w for piece in found for w in piece.split()] == text.split()
    sizes = [len(piece.split()) for piece in found]
    assert max(sizes) <= words and max(sizes) - min(sizes) <= 1
    assert len(found) > 1 or found == [text]


@given(st.integers(0, 60), st.integers(2, 12))
@settings(max_examples=200, deadline=None)
def test_overlapping_pieces_hold_every_passage_of_half_a_piece(n: int, words: int) -> None:
    numbers = [str(i) for i in range(n)]
    found = [piece.split() for piece in overlapping("  ".join(numbers), words)]
    assert all(len(piece) == words for piece in found) or found == [numbers]
    held = [" ".join(piece) + " " for piece in found]
    for first in range(n - words // 2):
        passage = " ".join(numbers[first : first + words // 2 + 1]) + " "
        assert any(passage in piece for piece in held)


def test_pooling() -> None:
    def count_x(texts: list[str]) -> np.ndarray:
        """NaN, not scored, without x and a."""
        return np.array([float(t.count("x")) if t.strip("b ") else np.nan for t in texts])

    def pairs(text: str) -> list[str]:
        return chunks(text, 2)

    texts = ["x a a a", "x x a a a a", "b b", "a", "b b x x"]
    np.testing.assert_array_equal(pooled(texts, count_x, pairs, "max"), [1, 2, np.nan, 0, 2])
    mean = pooled(texts, count_x, pairs, "mean")
    np.testing.assert_allclose(mean, [0.5, 2 / 3, np.nan, 0, 2])
    assert pooled([], count_x, pairs, "max").shape == (0,)


# ---- what is not scored -----------------------------------------------------------------------


def test_what_cannot_be_judged_has_no_score() -> None:
    fitted = fit_quality(made("curated", 20, 0), made("web", 20, 0), seed=0)
    without = ["", " \n\t", "--- !? ___", "Ich weiß nicht, was du damit meinst, aber es ist gut."]
    reasons = {"no word": 3, "not English": 1}
    for judge in (LinearToxicity(), LinearToxicity(passage=None), BadWords(), fitted):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(toxicity, "_list", lambda: (re.compile("darn"), frozenset(["darn"]), ()))
            found = judge.score([*without, "A quiet garden."])
        assert np.isnan(found[:4]).all() and np.isfinite(found[4]), judge
        assert unscored(without, found[:4]) == reasons and judge.language == "en"
    of_small = ["It is what it is.", "qqxxz kkwwv", "日本"]
    for passage in (20, None):
        assert np.isnan(LinearToxicity(passage=passage).score(of_small)).all()
    assert unscored(of_small, np.full(3, np.nan)) == {"no known word": 2, "not English": 1}
    every = LinearToxicity(language=None).score(["Das ist nicht dumm, das ist shit."])
    assert every[0] > 0.9  # known words, and no language asked for


LANGUAGES = {
    "German": "Die alte Frau ging jeden Morgen mit dem Hund durch den Park und las eine Zeitung.",
    "French": "La vieille dame allait tous les matins dans le parc avec son chien et lisait.",
    "Spanish": "La señora iba todos los días al parque con su perro y leía el periódico.",
    "Italian": "La vecchia signora andava ogni mattina nel parco con il cane, e non leggeva più.",
    "Portuguese": "A senhora não ia ao parque todos os dias, mas lia um jornal com o seu cão.",
    "Dutch": "De oude vrouw ging elke ochtend met het hondje naar het park en las een krant.",
    "Swedish": "Den gamla damen gick till parken varje dag och läste en tidning som hon köpt.",
    "Danish": "Den gamle dame gik til parken hver dag, og jeg ved ikke hvad hun læste af.",
    "Polish": "Starsza pani nie chodzi do parku, ale jest w domu i czyta, że tak już było.",
    "Czech": "Paní nebyla v parku, ale četla si noviny, které jsou tak staré, že není co číst.",
    "Turkish": "Yaşlı kadın her sabah bir köpek ile parka gider ve gazete için para verir.",
    "Hungarian": "Az asszony nem ment a parkba, és csak egy újságot olvasott, hogy jól legyen.",
    "Romanian": "Doamna nu mergea în parc cu câinele, ci citea un ziar pe care și l-a luat.",
    "Indonesian": "Ibu itu pergi ke taman dengan anjing dan tidak membaca koran yang baru.",
    "Russian": "Старая женщина каждое утро гуляла с собакой в парке и читала газету.",
    "Greek": "Η γυναίκα πήγαινε κάθε πρωί στο πάρκο με τον σκύλο της.",
    "Arabic": "ذهبت المرأة إلى الحديقة كل صباح مع كلبها وقرأت الجريدة.",
    "Hindi": "वह औरत हर सुबह कुत्ते के साथ बाग में जाती थी।",
    "Chinese": "老太太每天早上带着狗去公园看报纸。",
    "Japanese": "おばあさんは毎朝犬と公園へ行って新聞を読みました。",
    "Korean": "할머니는 매일 아침 개와 함께 공원에 가서 신문을 읽었다.",
}
ENGLISH = [
    *PLAIN,
    "Rio de la Plata",
    "Ludwig van der Berg",
    "Versace, Versace, Versace",
    "kumquat marumi, marumi kumquat: shrub bearing round fruit",
    "PNB cashier booked for embezzlement",
    "The word is derived from Greek γραμματικὴ τέχνη, the art of letters.",
    "He said “je ne sais quoi” and left for the Champs-Élysées with a café au lait.",
    "import os\nfor i, el in enumerate(le):\n    if i not in es:\n        del le[i]",
    "SELECT id, nu, pe FROM of_users WHERE is_in = 3 AND not_me = 4",
    "x = 3",
    "1234 5678",
]


@pytest.mark.parametrize("name", LANGUAGES)
def test_other_languages_are_noticed(name: str) -> None:
    text = LANGUAGES[name]
    assert is_foreign(text) and is_foreign(text.upper())
    assert is_foreign(f"{text} {text}") and not is_foreign(text + " " + " ".join(ENGLISH) * 3)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_names_and_code_are_not_foreign(text: str) -> None:
    assert not is_foreign(text)


def test_no_small_word_is_of_two_sides() -> None:
    others = " ".join(language.OTHERS.values()).split()
    assert not set(language.ENGLISH.split()) & set(others)
    assert not {"if", "else", "import", "return", "def", "class", "int", "var"} & set(others)


# ---- toxicity ---------------------------------------------------------------------------------


def test_linear_scores_are_those_of_the_package() -> None:
    from profanity_check import predict_prob

    one_by_one = np.array([predict_prob([text])[0] if text else np.nan for text in PLAIN])
    np.testing.assert_array_equal(LinearToxicity(passage=None).score(PLAIN), one_by_one)
    assert one_by_one[1] > 0.5 > one_by_one[0]
    long = " ".join([PLAIN[0]] * 100 + [PLAIN[1]])
    (whole,), (worst,) = LinearToxicity(passage=None).score([long]), LinearToxicity().score([long])
    assert whole == predict_prob([long])[0]
    assert worst >= one_by_one[1] > 0.9 > 0.5 > whole
    assert LinearToxicity().score([]).shape == (0,)
    with pytest.raises(UserError, match="passage: 0 words are none"):
        LinearToxicity(passage=0)


@pytest.fixture(scope="module")
def some_words() -> list[str]:
    """Known words of all sorts, rude ones among them, small words and unknown ones."""
    known = sorted(toxicity._linear().vocabulary)
    some = np.random.default_rng(0).choice(known, 40).tolist()
    return [*some, "idiot", "stupid", "hell", "jerk", "the", "you", "is", "qqxx", "zz-kk", "x"]


@given(st.data(), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_scores_are_the_packages_of_every_passage(some_words, data, passage: int) -> None:
    """Against its own call, passage by passage, on documents that share a block."""
    from profanity_check import predict_prob

    known = toxicity._linear().vocabulary
    texts = data.draw(
        st.lists(st.lists(st.sampled_from(some_words), max_size=25).map(" ".join), max_size=5)
    )
    wanted = []
    for text in texts:
        words = [w for w in re.findall(r"\b\w\w+\b", text) if w in known]
        n = len(words)
        spans = [(i, j) for i in range(n) for j in range(i + 1, min(i + passage, n) + 1)]
        worst = max(predict_prob([" ".join(words[i:j]) for i, j in spans])) if spans else np.nan
        whole = predict_prob([text])[0] if words else np.nan
        wanted.append(max(whole, worst) if worst >= 0.5 else whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toxicity, "BLOCK", data.draw(st.sampled_from([1, 10, 8192])))
        found = LinearToxicity(passage=passage).probabilities(texts)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_bad_words_are_those_of_c4(word_list: None) -> None:
    pattern = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, PHRASES))))
    texts = ["Darn!", "darned", "oh, heck no.", "heck yes no", "frick_x", "(frick)", "an A.S.S.",
             "x☠x", "x ☠"]  # fmt: skip
    wanted = [float(pattern.search(text.lower()) is not None) for text in texts]
    assert BadWords().score(texts).tolist() == wanted
    assert 0 < sum(wanted) < len(texts)


@pytest.mark.parametrize(
    "text",
    [
        "a heck  no",
        "a heck\n   no",
        "a heck\u00a0no",
        "a heck\u2003\u3000NO!",
        "a hEcK\r\nnO",
        "oh ｄａｒｎ",
        "oh da\u00adrn it",
        "oh da\u200brn it",
        "oh 𝐝𝐚𝐫𝐧",
        "A.\u200bS.S.",
    ],
)
def test_odd_blanks_and_letters_hide_no_phrase(word_list: None, text: str) -> None:
    assert BadWords().score([text]).tolist() == [1]
    assert BadWords().score([text.replace("h", "j").replace("d", "g").replace("𝐝", "g")
                             .replace("ｄ", "g").replace("S.S", "x")]).tolist() == [0]  # fmt: skip


@given(st.lists(st.sampled_from([*PHRASES, "heck", "no", "x", "_", ".", " ", "-"]), max_size=12))
@settings(max_examples=200, deadline=None)
def test_the_quick_look_misses_no_phrase(parts: list[str]) -> None:
    pattern = re.compile(r"(?:\W|^)({})(?:\W|$)".format("|".join(map(re.escape, PHRASES))))
    first = frozenset(found[0] for p in PHRASES if (found := re.findall(r"\w+", p)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toxicity, "_list", lambda: (pattern, first, ("☠",)))
        text = "".join([*parts, " x"])
        assert BadWords().score([text])[0] == float(pattern.search(text) is not None)


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT under the file name of Detoxify's "original" model."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    home = tmp_path_factory.mktemp("torch")
    base = home / "base"
    base.mkdir()
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *letters,
        *("##" + c for c in letters),
    ]
    (base / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=6,
    )
    config.save_pretrained(base)
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)
    for weight in model.parameters():  # a fresh BERT scores everything alike
        if weight.ndim == 2:
            weight.data.normal_(0, 0.2)
    classes = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    arch = {
        "model_type": str(base),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 6,
    }
    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(
        {
            "config": {"arch": {"args": arch}, "dataset": {"args": {"classes": classes}}},
            "state_dict": model.state_dict(),
        },
        checkpoints / "toxic_original-c1212f89.ckpt",
    )
    return home


@pytest.fixture
def planted(torch_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    toxicity._detoxify.cache_clear()
    yield torch_home
    toxicity._detoxify.cache_clear()


def test_detoxify_scores_are_those_of_its_own_predict(planted: Path) -> None:
    from detoxify import Detoxify

    rng = np.random.default_rng(0)
    words = ["roses", "garden", "budget", "year", "jerk", "x"]
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(1, 60, 40)]
    reference = Detoxify("original")  # the unchanged call
    for label in ("toxicity", "insult"):
        one_by_one = [reference.predict(text)[label] for text in texts]
        found = DetoxifyToxicity(label=label, budget=256).score(texts)
        np.testing.assert_allclose(found, one_by_one, atol=1e-5, rtol=0)
        assert np.ptp(found) > 1e-3  # a hundred times the tolerance
        order = rng.permutation(len(texts))
        again = DetoxifyToxicity(label=label, budget=1000).score([texts[i] for i in order])
        np.testing.assert_allclose(again, found[order], atol=1e-5, rtol=0)
    long = " ".join(["garden"] * 20 + ["jerk"] * 10)
    pieces = [reference.predict(piece)["toxicity"] for piece in overlapping(long, 10)]
    assert len(pieces) == 5
    assert DetoxifyToxicity(words=10).score([long])[0] == pytest.approx(max(pieces), abs=1e-5)
    mean = DetoxifyToxicity(words=10, pooling="mean").score([long])[0]
    assert mean == pytest.approx(np.mean(pieces), abs=1e-5)
    assert DetoxifyToxicity().score([]).shape == (0,)  # its own predict raises


def test_a_local_checkpoint_is_read(planted: Path) -> None:
    file = planted / "hub" / "checkpoints" / "toxic_original-c1212f89.ckpt"
    local = DetoxifyToxicity(checkpoint=file, config=planted / "base").score(PLAIN)
    np.testing.assert_allclose(local, DetoxifyToxicity().score(PLAIN), atol=1e-6)


def test_detoxify_says_what_is_missing(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Detoxify 'orignal'; they are original, unbiased"):
        DetoxifyToxicity("orignal").score(["a"])
    with pytest.raises(UserError, match=r"checkpoint: there is no .*none\.ckpt"):
        DetoxifyToxicity(checkpoint=tmp_path / "none.ckpt").score(["a"])
    with pytest.raises(UserError, match="no label 'rude'; it has toxicity"):
        DetoxifyToxicity(label="rude").score(["a"])
    import torch

    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match="could not be loaded"):
        DetoxifyToxicity(checkpoint=tmp_path / "other.ckpt").score(["a"])


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_batches_hold_each_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = batches(np.array(lengths, dtype=int), budget)
    assert sorted(row for rows in found for row in rows) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[r] for r in rows) <= budget


# ---- quality ----------------------------------------------------------------------------------


def made(kind: str, n: int, seed: int) -> list[str]:
    words = {
        "curated": ["treaty", "harvest", "senate", "river", "method", "the", "of"],
        "web": ["lol", "click", "omg", "song", "the", "of", "u"],
    }[kind]
    rng = np.random.default_rng([seed, n])
    return [" ".join(rng.choice(words, rng.integers(4, 14))) for _ in range(n)]


def test_quality_tells_curated_from_web_and_repeats() -> None:
    fitted = fit_quality(made("curated", 300, 0), made("web", 400, 0), seed=0)
    good, bad = fitted.score(made("curated", 100, 1)), fitted.score(made("web", 100, 2))
    assert (good[:, None] > bad[None]).mean() > 0.97
    assert fitted.score(["zzz"])[0] == pytest.approx(1 / (1 + np.exp(-fitted.bias)), abs=0.05)
    again = fit_quality(made("curated", 300, 0), made("web", 400, 0), seed=0)
    np.testing.assert_array_equal(fitted.weights, again.weights)
    assert bad.min() >= 0 and good.max() <= 1 and fitted.score([]).shape == (0,)


def test_quality_is_the_logistic_regression_of_sklearn() -> None:
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression

    positives, negatives = made("curated", 80, 3), made("web", 80, 4)
    fitted = fit_quality(positives, negatives, seed=0)
    hashed = HashingVectorizer(n_features=2**18, ngram_range=(1, 2), alternate_sign=False)
    model = LogisticRegression(l1_ratio=1.0, C=0.977778, solver="liblinear", tol=1e-8)
    model.fit(hashed.transform(positives + negatives), [1] * 80 + [0] * 80)
    texts = made("curated", 30, 5) + made("web", 30, 6)
    reference = model.predict_proba(hashed.transform(texts))[:, 1]
    np.testing.assert_allclose(fitted.score(texts), reference, atol=5e-3)  # its looser tolerance


def test_quality_refuses_what_cannot_be_fitted() -> None:
    with pytest.raises(UserError, match="positives: the corpus is empty"):
        fit_quality([], ["a"], seed=0)
    with pytest.raises(UserError, match="negatives: document 1 is bytes, not text"):
        fit_quality(["a"], ["a", b"\xff"], seed=0)  # type: ignore[list-item]
    assert [len(p.split()) for p in passages(["a " * 40], 16)] == [13, 14, 13]


# ---- filters ----------------------------------------------------------------------------------


def test_pareto_keeps_the_share_of_its_closed_form() -> None:
    # numpy's Pareto is Lomax: P(X > 1 - s) = (1 + 1 - s)^-alpha.
    for alpha, score in ((9.0, 0.5), (9.0, 0.9), (3.0, 0.0), (9.0, 1.0)):
        kept = filters.pareto(np.full(200_000, score), seed=1, alpha=alpha).mean()
        wanted = (2 - score) ** -alpha
        assert kept == pytest.approx(wanted, abs=4 * np.sqrt(wanted / 200_000) + 1e-9)


def test_pareto_is_the_rule_of_gpt3() -> None:
    found = filters.pareto(np.linspace(0, 1, 50), seed=3)
    draws = np.random.default_rng([3, 0x9A7]).pareto(9, 50)
    np.testing.assert_array_equal(found, draws > 1 - np.linspace(0, 1, 50))


@given(st.lists(st.sampled_from([np.nan, 0.0, 0.2, 0.7, 1.0]), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_an_unscored_document_passes_no_filter(values: list[float]) -> None:
    scores = np.array([*values, 0.5])
    missing = np.isnan(scores)
    np.testing.assert_array_equal(filters.below(scores, 0.6), scores < 0.6)  # NaN: False
    np.testing.assert_array_equal(filters.below(scores, 1.1), ~missing)
    for high_first in (True, False):
        order = filters.ranked(scores, high_first=high_first)
        assert sorted(order.tolist()) == list(range(len(scores)))
        n = int((~missing).sum())
        assert missing[order[n:]].all() and not missing[order[:n]].any()
        steps = np.diff(scores[order[:n]])
        assert (steps <= 0).all() if high_first else (steps >= 0).all()
    ones = np.where(missing, np.nan, 1.0)
    np.testing.assert_array_equal(filters.pareto(ones, seed=0), ~missing)  # all of the best


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: filters.below(np.array([0.5, 0.6]), 0.5), "no document has a score below 0.5"),
        (lambda: filters.below(np.array([]), 0.5), "the corpus is empty"),
        (lambda: filters.below(np.array([np.nan]), 0.5), "no document has a score"),
        (lambda: filters.ranked(np.array([np.nan]), high_first=True), "no document has a score"),
        (lambda: filters.below(np.array([np.inf]), 0.5), "some are infinite"),
        (lambda: filters.below(np.array([np.nan, 0.6]), 0.5), "are from 0.6 to 0.6"),
        (lambda: filters.pareto(np.array([0.5, 1.5]), 0), "from 0 to 1"),
        (lambda: filters.pareto(np.array([0.0]), 0, alpha=-1), "above 0"),
        (lambda: scorer("qualty"), "no scorer 'qualty'; they are quality, toxicity, detoxify"),
        (lambda: refusals(["a"], ["c5"]), "no rule 'c5'; they are gopher, repetition, c4"),
        (lambda: require_texts("abc"), "a list of documents is wanted, not one str"),
        (lambda: require_texts([]), "must hold at least one"),
        (lambda: agreement({"a": np.ones(2)}, {}), "'a' has none"),
        (lambda: agreement({"a": np.ones(2), "b": np.ones(3)}, {"a": 1, "b": 1}), "different"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence(call, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


# ---- agreement --------------------------------------------------------------------------------


def test_agreement_is_that_of_scipy_and_sklearn() -> None:
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    a = rng.random(200)
    found = {"a": a, "b": a + rng.random(200), "c": np.ones(200)}
    table = agreement(found, {"a": 0.5, "b": 1.2, "c": 0.5})
    assert list(zip(table["first"], table["second"], strict=True)) == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    row = table.iloc[0]
    assert row.spearman == pytest.approx(spearmanr(a, found["b"]).statistic)
    assert row.kappa == pytest.approx(cohen_kappa_score(a >= 0.5, found["b"] >= 1.2))
    assert row.both <= row.either and np.isnan(table.spearman[1]) and row.n == 200
    b, limits = found["b"], {"a": 0.5, "b": 1.2, "c": 0.5}
    some = agreement(found | {"a": np.where(a < 0.1, np.nan, a)}, limits).iloc[0]
    of_scored = agreement({"a": a[a >= 0.1], "b": b[a >= 0.1]}, limits).iloc[0]
    assert some.to_dict() == of_scored.to_dict() and some.n < 200
    assert agreement({"a": a * np.nan, "b": b}, limits).iloc[0].isna().sum() == 4
    assert np.isnan(cohen_kappa(np.ones(3, bool), np.ones(3, bool)))


def test_a_new_scorer_is_ten_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shouting:
        name, low, high, good, language = "shouting", 0.0, 1.0, "low", None

        def score(self, texts):
            return np.array([np.mean([c.isupper() for c in t] or [0]) for t in texts], float)

        def card(self):
            return LinearToxicity().card()

    monkeypatch.setitem(SCORERS, "shouting", Known(Shouting, Shouting.good))
    made = scorer("shouting")
    assert made.score(["AB", "ab", ""]).tolist() == [1, 0, 0] and made.good == "low"


def test_every_scorer_has_a_full_card() -> None:
    fitted = fit_quality(made("curated", 20, 0), made("web", 20, 0), seed=0)
    for each in (fitted, LinearToxicity(), DetoxifyToxicity(), BadWords()):
        card = each.card()
        assert card.name == each.name and each.low < each.high and each.good in ("low", "high")
        assert all(isinstance(text, str) and text for text in vars(card).values())


# ---- heuristics -------------------------------------------------------------------------------

PROSE = (
    "The river rises in the hills and runs to the sea, and the towns along it have lived with "
    "its floods for centuries. Every spring the water comes. People move their boats to higher "
    "ground. They wait. In June the fields are green again, and the market opens with the first "
    "cherries of the year. Nobody remembers a year without one."
)


@pytest.mark.parametrize(
    ("text", "rule", "reason"),
    [
        ("too short", gopher, "fewer than 50 words"),
        ("a b " * 40, gopher, "mean word shorter than 3"),
        ("incomprehensibilities " * 60, gopher, "mean word longer than 10"),
        (PROSE + " #" * 10, gopher, "a hash sign for every ten words"),
        (PROSE + " wait..." * 10, gopher, "an ellipsis for every ten words"),
        (
            "\n".join("• another line with entries" for _ in range(12)),
            gopher,
            "nine lines of",
        ),
        (PROSE + "\nand then…", gopher, "three lines of ten end"),
        (PROSE + " 1234" * 40, gopher, "two words of ten without a letter"),
        ("word " * 60, gopher, "fewer than two stop words"),
        ("same line\n" * 5 + PROSE, repetition, "three lines of ten are repeated"),
        ("\n\n".join([PROSE] * 2), repetition, "three paragraphs of ten are repeated"),
        ("buy now " * 30, repetition, "one 2-gram of words holds 20% of the text"),
        ("lorem ipsum " + PROSE, c4, "lorem ipsum"),
        (PROSE + " {", c4, "curly bracket"),
        ("One. Two. Three. Four.", c4, "fewer than five sentences"),
        (PROSE.replace(". ", " ") + "\nmenu", c4, "fewer than five sentences"),
    ],
)
def test_refusals_give_the_reason(text: str, rule, reason: str) -> None:
    answer = rule(text)
    assert answer is not True and answer[0] is False and answer[1].startswith(reason)


def test_prose_passes_every_rule() -> None:
    found = refusals([PROSE, "too short", PROSE + " {", "x y"])
    assert found.kept.tolist() == [True, False, False, False]
    assert found.reasons[0] == "" and found.reasons[2] == "c4: curly bracket"
    assert found.counts() == {"gopher: fewer than 50 words": 2, "c4: curly bracket": 1}


@given(st.text("ab .\n{#…", max_size=300))
@settings(max_examples=200, deadline=None)
def test_rules_answer_any_text(text: str) -> None:
    for rule in (gopher, repetition, c4):
        answer = rule(text)
        assert answer is True or (answer[0] is False and answer[1])


# ---- showing text -----------------------------------------------------------------------------


def test_excerpts_are_escaped_and_masked(word_list: None) -> None:
    found = excerpt(
        "Oh Darn,\n<script>alert('x')</script> mail me@there.org or +1 (555) 123-4567", 200
    )
    assert "<" not in found and "script&gt;" in found and "\n" not in found
    assert "D***" in found and "Darn" not in found
    assert "[address]" in found and "there.org" not in found and "[number]" in found
    assert "idiot" not in excerpt("You idiot.", 100).lower()
    assert "idiot" not in excerpt("Das ist nicht gut, und du bist ein idiot.", 100)
    assert excerpt("roses are lovely", 5) == "roses…"
    assert excerpt("roses", 5) == "roses"
    with pytest.raises(UserError, match="at least 1 character"):
        excerpt("roses", 0)
