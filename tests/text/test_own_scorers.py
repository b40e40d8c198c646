"""Scorers that a user names in full: a list of patterns, a class, a classifier's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dataworth.errors import UserError
from dataworth.text.own_scorers import absolute, digest, is_own, own_scorer

TEXTS = ["one two three", "Bad bad words here", "...", "bad"]


def test_patterns_count_in_a_hundred_words(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\n# what is unwanted\nbad\nw[ao]rds?\n")
    scorer = own_scorer(f"regex:{path}")
    assert scorer.good == "low"
    np.testing.assert_allclose(scorer.score(TEXTS), [0, 75, np.nan, 100])


def test_a_class_of_a_file_with_a_helper_beside_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(
        "from near import size\n"
        "class Long:\n    good = 'high'\n    def score(self, texts):\n"
        "        return [size(text) for text in texts]\n"
    )
    (tmp_path / "near.py").write_text("def size(text):\n    return len(text)\n")
    monkeypatch.chdir(tmp_path)
    name = absolute("python:mine:Long")
    assert name == f"python:{tmp_path}/mine.py:Long" == absolute("python:mine.py:Long")
    scorer = own_scorer(name)
    assert scorer.good == "high"
    np.testing.assert_array_equal(scorer.score(TEXTS), [len(text) for text in TEXTS])
    before = digest(name)
    (tmp_path / "near.py").write_text("def size(text):\n    return -len(text)\n")
    assert digest(name) != before
    assert digest("python:dataworth.text.toxicity:BadWords")  # a module that is installed


@pytest.mark.slow
def test_a_classifiers_probability(tmp_path: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "one", "two", "three", "bad"])}
    plain = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]"
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=16, id2label={0: "fine", 1: "rude"}, label2id={"fine": 0, "rude": 1},
        )
    ).eval()  # fmt: skip
    tokenizer.save_pretrained(tmp_path / "judge")
    model.save_pretrained(tmp_path / "judge")
    scorer = own_scorer(f"hf:{tmp_path / 'judge'}[rude]")
    assert scorer.good is None
    found = scorer.score(["one bad", "...", "two three two one"])
    for place, text in ((0, "one bad"), (2, "two three two one")):
        with torch.inference_mode():
            logits = model(**tokenizer([text], return_tensors="pt")).logits[0]
        assert found[place] == pytest.approx(float(torch.softmax(logits, -1)[1]), abs=1e-5)
    assert np.isnan(found[1])
    long = " ".join(["one bad"] * 150)  # more than 200 words: the mean over pieces
    halves = scorer.score([" ".join(["one bad"] * 75)] * 2)
    assert scorer.score([long])[0] == pytest.approx(halves.mean(), abs=1e-5)
    with pytest.raises(UserError, match="no label 'cruel'; it has fine, rude"):
        own_scorer(f"hf:{tmp_path / 'judge'}[cruel]")
    before = digest(f"hf:{tmp_path / 'judge'}[rude]")
    (tmp_path / "judge" / "notes.txt").write_text("changed")
    assert digest(f"hf:{tmp_path / 'judge'}[rude]") != before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("regex:nowhere.txt", "must be regex:FILE, python:MODULE:CLASS or hf"),
        ("hf:nowhere[x]", "names no folder that exists"),
        ("hf:folder", "must be regex:FILE"),
        ("python:no_such_module:X", "names no file and no module that is installed"),
        ("python:json", "must be regex:FILE"),
    ],
)
def test_names_of_nothing(name: str, words: str) -> None:
    assert is_own(name)
    with pytest.raises(UserError, match=words):
        own_scorer(name)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("class S:\n    pass", "has no method score"),
        ("class S:\n    good = 'best'\n    def score(self, t): return []", "good = 'best'"),
        ("class S:\n    def __init__(self, x): pass", "cannot be made"),
        ("import no_such_thing_at_all", "cannot be made"),
    ],
)
def test_classes_that_do_not_serve(tmp_path: Path, code: str, words: str) -> None:
    path = tmp_path / f"s{abs(hash(code))}.py"
    path.write_text(code)
    with pytest.raises(UserError, match=words) as caught:
        own_scorer(f"python:{path}:S")
    assert "\n" not in str(caught.value)


def test_numbers_that_do_not_serve(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text("class S:\n    def score(self, t): return [1.0]")
    with pytest.raises(UserError, match="one for each, NaN where it has none"):
        own_scorer(f"python:{tmp_path / 's.py'}:S").score(TEXTS)
    (tmp_path / "list.txt").write_text("(")
    with pytest.raises(UserError, match=r"line 1 of .* is no regular expression"):
        own_scorer(f"regex:{tmp_path / 'list.txt'}")
