import re

import pytest

from dataworth.data import Card, card, cards, load_images
from dataworth.data.catalog import keys_of
from dataworth.errors import UserError


def test_every_card_can_be_cited_and_credited() -> None:
    ids = [c.id for c in cards()]
    assert len(set(ids)) == len(ids) and "fashion-mnist" in ids
    for c in cards():
        assert f"{{{c.citation.key}," in c.citation.bibtex
        assert c.licence.spdx and c.licence.attribution and c.licence.redistribution
        assert len(set(c.classes)) == len(c.classes)


def test_fashion_mnist_is_as_published() -> None:
    # Xiao et al. 2017 (arXiv 1708.07747), tables 1 and 2.
    c = card("fashion-mnist")
    assert c.source_splits == {"train": 60000, "test": 10000} and c.image_shape == (28, 28)
    assert c.classes[0] == "T-shirt/top" and c.classes[9] == "Ankle boot" and len(c.classes) == 10
    assert [source.kind for source in c.providers] == ["debian", "hub"]


def test_unknown_names_are_answered_with_the_legal_ones() -> None:
    with pytest.raises(
        UserError, match=r"no data set 'fasion'; the data sets are: .*fashion-mnist"
    ):
        card("fasion")
    with pytest.raises(UserError, match="no split 'train'; it has generator_pool, validation, sh"):
        load_images("fashion-mnist", "train")


def test_a_cards_key_follows_content_and_split_rule_only(use_card) -> None:
    def of(**changes: object) -> str:
        use_card(**changes)
        assert keys_of({"another"}) == {}
        return keys_of({"tiny", "another"})["tiny"]

    plain = of()
    assert re.fullmatch("[0-9a-f]{16}", plain) and of() == plain
    assert of(title="another title") == plain
    assert of(content_sha256="f" * 64) != plain
    rule = {"divide": "train", "keep": "test", "per_class": {"a": 4, "b": 2}, "rest": "c"}
    swapped = rule | {"per_class": {"b": 2, "a": 4}}
    assert len({plain, of(content_split=rule), of(content_split=swapped)}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"content_sha256": "abc"}, "content_sha256"),
        ({"licence": {"spdx": "MIT"}}, "attribution"),
        (
            {"content_split": {"divide": "all", "keep": "test", "per_class": {}, "rest": "a"}},
            "names a split that is not in",
        ),
        (
            {"content_split": {"divide": "train", "keep": "test", "per_class": {}, "rest": "test"}},
            "names one split twice",
        ),
    ],
)
def test_a_wrong_card_is_refused(use_card, changes: dict, message: str) -> None:
    good: Card = use_card()
    with pytest.raises(ValueError, match=message):
        Card.model_validate(good.model_dump() | changes)
