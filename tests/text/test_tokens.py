"""Tokens: every text has an encoding, packing loses nothing, budgets and shares are exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_corpus import IDS, TOKENIZER, TRAIN, VOCABULARY, corpus, language_model, part

from dataworth.errors import UserError
from dataworth.runs import run_tasks
from dataworth.text.tokens import (
    TOKEN,
    TokenizerSpec,
    encode,
    learn,
    load_parts,
    pack,
    run_text_tasks,
    token_bytes,
    tokens_of,
)

END = VOCABULARY - 1
tokenizer = learn(corpus().texts, VOCABULARY)
sizes = token_bytes(tokenizer, VOCABULARY)


# --- Encoding ---------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_from_its_tokens(text):
    (tokens,) = encode(tokenizer, [text])
    assert tokens.dtype == TOKEN
    assert tokenizer.decode(tokens.tolist(), skip_special_tokens=False) == text
    assert sizes[tokens].sum() == len(text.encode())
    assert END not in tokens


def test_no_text_holds_the_end_of_text():
    (tokens,) = encode(tokenizer, ["a<|endoftext|>b"])
    assert sizes[END] == 0 and (sizes[tokens] > 0).all()


def test_learning_is_deterministic_and_compresses():
    again = learn(corpus().texts, VOCABULARY)
    assert again.to_str() == tokenizer.to_str()
    whole = sum(len(text.encode()) for text in corpus().texts)
    assert sum(map(len, encode(tokenizer, corpus().texts))) < 0.6 * whole
    assert tokenizer.get_vocab_size() == VOCABULARY - 1


def test_corpora_are_encoded_once(store, tiny):
    specs = tokens_of(TOKENIZER, [part(), part(IDS[-1])])
    assert len(specs) == 1  # both parts are of one corpus
    run_tasks([TOKENIZER, *specs], store=store)
    first, last = load_parts(TOKENIZER, [part(), part(IDS[-1])], store)
    assert [len(first), len(last)] == [len(TRAIN), 1]
    words = TOKENIZER.load(store).decode(last[0].tolist())
    assert words == tiny.texts[-1]


def test_a_span_is_the_tokens_inside_it(store, tiny):
    """Of sections that begin and end between words no token is lost; of others, those cut."""
    data = tiny.texts[1].encode()
    middle = data.index(b" ", len(data) // 2)
    pieces = ((0, middle), (middle, len(data)))
    cut = part(IDS[1], IDS[1], spans=pieces)
    assert cut.texts() == [data[a:b].decode() for a, b in pieces]
    run_tasks([TOKENIZER, *tokens_of(TOKENIZER, [cut])], store=store)
    ((left, right), (whole,)) = load_parts(TOKENIZER, [cut, part(IDS[1])], store)
    np.testing.assert_array_equal(np.concatenate([left, right]), whole)
    for start, stop in ((3, middle + 1), (0, 1), (5, 9)):
        ((inside,),) = load_parts(TOKENIZER, [part(IDS[1], spans=((start, stop),))], store)
        of = token_bytes(TOKENIZER.load(store), VOCABULARY)[whole]
        ends = np.cumsum(of)
        kept = (ends - of >= start) & (ends <= stop)
        np.testing.assert_array_equal(inside, whole[kept])
    with pytest.raises(ValidationError, match="spans must be as many as ids"):
        part(*IDS[:2], spans=((0, 1),))
    with pytest.raises(ValidationError, match="end after its beginning"):
        part(IDS[0], spans=((4, 4),))
    with pytest.raises(ValidationError, match="more than once"):
        part(IDS[0], IDS[0], spans=((0, 4), (0, 4)))


def test_documents_that_do_not_exist(store, tiny):
    with pytest.raises(UserError, match="documents that tiny does not have"):
        run_text_tasks([language_model(parts=(part(5),))], store=store)
    with pytest.raises(ValidationError, match="more than once"):
        part(5, 5)
    with pytest.raises(ValidationError, match="vocabulary"):
        TokenizerSpec(parts=(part(),), vocabulary=256)


# --- Packing ----------------------------------------------------------------------------------


def documents(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, END, rng.integers(0, 30)).astype(TOKEN) for _ in range(count)]


packings = given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 9), st.integers(1, 3))


@packings
def test_packing_loses_no_token(seed, count, context, passes):
    """Whole passes, cut to whole rows: what is missing is less than a row; nothing is added."""
    group = documents(seed, count)
    one_pass = np.concatenate([np.append(d, END) for d in group])
    rows = passes * len(one_pass) // context
    packed = pack([group], None, end=END, count=rows, context=context, seed=seed)
    assert packed.rows.shape == (rows, context + 1)
    targets = np.bincount(packed.rows[:, 1:].ravel(), minlength=VOCABULARY)
    missing = passes * np.bincount(one_pass, minlength=VOCABULARY) - targets
    assert (missing >= 0).all() and missing.sum() == passes * len(one_pass) % context
    assert packed.epochs[0] == pytest.approx(rows * context / len(one_pass))


def test_packed_rows_are_stretches_of_the_stream():
    group = [np.array([10 * i + j for j in range(5)], TOKEN) for i in range(1, 8)]
    packed = pack([group], None, end=END, count=40, context=3, seed=1)
    for a, b in packed.rows.reshape(-1, 4)[:, [0, 1]].tolist():
        if a != END and a % 10 < 4:
            assert b == a + 1
        elif a != END:
            assert b == END
        else:
            assert b % 10 == 0
    # A first pass comes before a second: 42 targets are 14 rows.
    assert sorted(packed.rows[:14, 1:].ravel().tolist()) == sorted(
        x for d in group for x in [*d.tolist(), END]
    )


@given(st.lists(st.floats(0.05, 10), min_size=1, max_size=4), st.integers(1, 200))
def test_parts_have_their_shares(weights, count):
    parts = [[np.full(7, g, TOKEN)] for g in range(len(weights))]
    packed = pack(parts, weights, end=END, count=count, context=8, seed=0)
    assert len(packed.rows) == count
    source = packed.rows.min(1)
    share = np.array(weights) / sum(weights)
    for upto in (count // 2, count):
        counts = np.bincount(source[:upto], minlength=len(weights))
        assert (np.abs(counts - share * upto) <= 2).all()


def test_order_is_the_seeds():
    one, same, other = (
        pack([documents(0, 9)], None, end=END, count=30, context=5, seed=s).rows for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
