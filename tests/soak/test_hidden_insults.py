"""An insult in a long calm text is found wherever it stands, at every threshold where it is found
alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from profanity_check import predict_prob

from dataworth.text import language, toxicity
from dataworth.text.toxicity import LinearToxicity

INSULTS = (
    "You are an idiot",
    "You are a disgrace.",
    "you lazy bum",
    "What a moron!",
    "you brainless twit",
    "screw you",
    "You make me sick",
    "you filthy pig",
    "go to hell, all of you",
    "you people disgust me",
    "You pathetic loser",
    "Only a fool, or a liar, or a coward, would write such crap",
    "you are as dumb as a rock",
    "you are so ignorant and so stupid that it hurts to read",
    "SHUT UP",
    "You disgusting\ncreature",
    "hypocrite",
    "Everybody here knows that you, sir, are a pompous jerk who has never read a book",
)


BATCH = 100


def calm_texts(rng: np.random.Generator, n: int) -> list[list[str]]:
    """Texts of 10 to 10,000 words: half of them the calmest of those that the model knows, half
    small words of English, which it does not."""
    others = set(" ".join(language.OTHERS.values()).split())
    known = np.array(sorted(set(toxicity._linear().vocabulary) - others))
    calmest, small = known[predict_prob(known.tolist()) < 0.05], language.ENGLISH.split()
    lengths = np.exp(rng.uniform(np.log(10), np.log(10_000), n)).round().astype(int)
    texts = []
    for length in lengths.tolist():
        words = np.where(
            rng.random(length) < 0.5, rng.choice(calmest, length), rng.choice(small, length)
        )
        texts.append([*words.tolist()[:-1], str(calmest[0])])
    return texts


def test_no_text_hides_an_insult(cases: Callable[[int, int], int]) -> None:
    n = cases(100, 1_000)
    rng = np.random.default_rng(1)
    alone = predict_prob(list(INSULTS))
    assert alone.min() >= toxicity.ALONE and (alone < 0.9).any() and (alone > 0.99).any()
    missed_whole = 0
    for _ in range(n // BATCH):
        texts = calm_texts(rng, BATCH)
        calm = LinearToxicity().score([" ".join(words) for words in texts])
        assert calm.max() < toxicity.ALONE  # else nothing would be shown
        which = rng.integers(len(INSULTS), size=len(texts))
        planted = []
        for words, insult in zip(texts, which.tolist(), strict=True):
            place = int(rng.integers(len(words) + 1))
            planted.append(" ".join([*words[:place], INSULTS[insult], *words[place:]]))
        found = LinearToxicity().score(planted)
        assert (found >= alone[which] - 1e-12).all()
        missed_whole += int((LinearToxicity(passage=None).score(planted) < alone[which]).sum())
    assert missed_whole > 0.9 * n  # the control: a score of the whole text hides nearly all
