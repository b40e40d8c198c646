"""RFCs as dated prose: what is left of a page, and who stands in which split."""

import gzip
import json

import numpy as np

from dataworth.data.catalog import Card, HeldOut, shipped
from dataworth.data.documents import divide
from dataworth.data.rfcs import LONGEST, prose, rfcs

SENTENCE = "The router forwards each packet to the next hop that its table names for it."


def page(body: str, number: int = 1) -> str:
    return (
        f"{body}\n\n\n\nMitzel                       Informational               "
        f"[Page {number}]\n"
        "\fRFC 3002                 IAB Wireless Workshop             December 2000\n\n\n"
    )


MEMO = page(
    """
Network Working Group                                          D. Mitzel
Request for Comments: 3002                                         Nokia
Category: Informational                                    December 2000

         A Title of the Memo That Nobody Reads as a Sentence of Its Own

Status of this Memo

   This memo provides information and nothing else to all of its many readers here.

Table of Contents

   1      Introduction, which has rather a long title for an entry of a table . . 3.

1.  Introduction

   As RFC 1234 and [RFC2119] said in 1999, and draft-ietf-foo-bar-03 repeats (see
   https://example.org/x too), a host that is nobody's has no name at all and"""
) + page(
    f"""   no address. {SENTENCE}

      +------+      +------+
      | host | ---- | host |   a figure is no paragraph of words, whatever it says in it.
      +------+      +------+

   Too short a one.

   {SENTENCE} {SENTENCE}

   {SENTENCE} {SENTENCE}

7.  Acknowledgements

   We thank all those who have helped with this document and have read it before you.

8.  References

   A reference is in no sentence of ours, however long it may become as time goes by.

9.  What Comes After

   {SENTENCE}  It is written after the references, and belongs to the authors' own text.
""",
    2,
)


def test_prose_is_what_the_authors_wrote():
    found = prose(MEMO).split("\n\n")
    assert found == [
        "As RFC and said in, and repeats (see too), a host that is nobody's has no name at all "
        f"and no address. {SENTENCE}",
        f"{SENTENCE} {SENTENCE}",
        f"{SENTENCE} It is written after the references, and belongs to the authors' own text.",
    ]


def test_a_document_is_capped_at_a_paragraph():
    body = "\n\n".join(f"   Host{'x' * i} is one. {SENTENCE}" for i in range(1, 300))
    found = prose(f"1.  Introduction\n\n{body}\n")
    assert 0.9 * LONGEST < len(found) <= LONGEST + 2 * found.count("\n\n")
    assert found.endswith(SENTENCE)


def test_date_author_and_stream_are_those_of_the_json(tmp_path):
    long = MEMO + "".join(f"   A{'b' * i} host is here. {SENTENCE}\n\n" for i in range(1, 12))
    for number, (authors, source) in {
        1: (["D. Ray, Ed."], "IAB"),
        2: (["E. Fox"], "Mobile IP"),
    }.items():
        about = {"authors": authors, "source": source, "pub_date": "March 2000"}
        (tmp_path / f"rfc{number}.json").write_text(json.dumps(about))
        (tmp_path / f"rfc{number}.txt.gz").write_bytes(gzip.compress(long.encode()))
    (tmp_path / "rfc3.json").write_text(json.dumps(about))  # a scan: there is no text
    one, two = rfcs(tmp_path, rfc_card())
    assert one.year == 2000
    assert dict(one.labels) == {"author": "D. Ray", "stream": "IAB"}
    assert dict(two.labels) == {"author": "E. Fox", "stream": "working group"}


def rfc_card() -> Card:
    return next(card for card in shipped() if card.id == "rfc")


def test_no_author_stands_in_two_splits():
    rng = np.random.default_rng(0)
    authors = np.array([f"author {i}" for i in rng.zipf(1.5, 800).clip(max=300)])
    ids = rng.permutation(10**6)[:800]
    rule = rfc_card().held_out
    assert rule is not None and rule.apart == "author"
    none = np.zeros(800, dtype=np.str_)
    found = divide(ids, none, np.full(800, 2000), rule, {"author": authors})
    rows = np.concatenate(list(found.values()))
    assert sorted(rows.tolist()) == list(range(800))
    who = {name: set(authors[of].tolist()) for name, of in found.items()}
    assert not who["train"] & who["test"] and not who["train"] & who["validation"]
    assert not who["test"] & who["validation"]
    assert all((np.diff(ids[of]) > 0).all() for of in found.values())


def test_cards_without_such_a_label_keep_their_keys():
    assert HeldOut(validation=0.1, test=0.2).model_dump() == {"validation": 0.1, "test": 0.2}
    assert HeldOut(validation=0.1, test=0.2, apart="author").model_dump()["apart"] == "author"
