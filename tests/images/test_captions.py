"""Captions: measurements against drawn shapes, words that follow from them, templates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataworth.images.captions import CLASS_WORDS, TEMPLATES, attributes, caption, measure


def rectangle(top, left, height, width, grey=255):
    image = np.zeros((28, 28), np.uint8)
    image[top : top + height, left : left + width] = grey
    return image


spans = st.integers(0, 27).flatmap(lambda a: st.tuples(st.just(a), st.integers(1, 28 - a)))


@given(spans, spans, st.integers(30, 255))
def test_measure_of_a_rectangle(rows, columns, grey):
    (top, height), (left, width) = rows, columns
    m = {name: v[0] for name, v in measure(rectangle(top, left, height, width, grey)[None]).items()}
    assert m["brightness"] == pytest.approx(grey / 255)
    assert m["texture"] == pytest.approx(0, abs=1e-12)
    assert (m["width"], m["height"]) == (width, height)
    assert m["arch"] == 0  # a straight lower edge
    overlap = lambda a, b, c, d: max(0, min(b, d) - max(a, c))  # noqa: E731
    right, bottom = left + width, top + height
    sleeves = overlap(left, right, 2, 7) + overlap(left, right, 21, 26)
    assert m["sides"] == pytest.approx(overlap(top, bottom, 10, 24) * sleeves / (14 * 10))


@given(spans, spans, st.integers(30, 200), st.integers(1, 55))
def test_texture_of_stripes(rows, columns, grey, step):
    (top, height), (left, width) = rows, columns
    image = rectangle(top, left, height, width, grey)
    image[top : top + height, left : left + width : 2] += step
    m = measure(image[None])
    assert m["texture"][0] == pytest.approx((width - 1) * height * step / 255 / (width * height))
    raised = (width + 1) // 2 / width
    assert m["brightness"][0] == pytest.approx((grey + step * raised) / 255)


@given(st.integers(1, 20))
def test_arch_of_a_heel(gap):
    """Heel and toe reach row 25; between them, columns 10 to 17, the sole is `gap` higher."""
    image = rectangle(0, 4, 26, 20)
    image[26 - gap : 26, 10:18] = 0
    assert measure(image[None])["arch"][0] == pytest.approx(gap * 8 / 12)  # columns 8 to 19


def test_measure_of_nothing_is_zero():
    m = measure(np.zeros((2, 28, 28), np.uint8))
    assert set(m) == {"brightness", "texture", "width", "height", "sides", "arch"}
    for values in m.values():
        np.testing.assert_array_equal(values, [0, 0])


def test_measure_does_not_mix_images():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    whole = measure(images)
    for i in range(5):
        for name, values in measure(images[i : i + 1]).items():
            assert values[0] == pytest.approx(whole[name][i], rel=1e-12)


def stripes(image, low=90):
    image = image.copy()
    image[image > 0] = 255
    image[:, ::2][image[:, ::2] > 0] = low
    return image


HEEL = rectangle(0, 4, 26, 20)
HEEL[12:26, 10:18] = 0
CASES = [  # image, class, words
    (rectangle(2, 2, 24, 24, 100), 8, ["dark", "plain"]),
    (rectangle(2, 2, 24, 24, 160), 8, ["plain"]),
    (rectangle(2, 2, 24, 24, 240), 8, ["bright", "plain"]),
    (rectangle(1, 1, 26, 26, 160), 8, ["plain", "wide"]),
    (rectangle(1, 10, 26, 6, 160), 1, ["plain", "slim"]),
    (stripes(rectangle(2, 2, 24, 24)), 8, ["patterned"]),
    (rectangle(1, 1, 26, 26, 160), 0, ["plain", "wide", "long-sleeved"]),
    (rectangle(1, 8, 26, 12, 160), 0, ["plain", "slim", "short-sleeved"]),
    (rectangle(10, 2, 8, 24, 160), 7, ["plain", "flat"]),
    (rectangle(4, 4, 22, 20, 160), 9, ["plain", "flat", "high"]),
    (HEEL, 5, ["bright", "plain", "heeled", "high"]),
]


@pytest.mark.parametrize(("image", "label", "words"), CASES)
def test_attributes(image, label, words):
    assert attributes(image[None], [label]) == [words]


def test_attributes_of_many_are_those_of_each():
    images, labels = np.stack([c[0] for c in CASES]), [c[1] for c in CASES]
    assert attributes(images, labels) == [c[2] for c in CASES]


WORDS = ("dark", "plain", "slim", "long-sleeved")


@given(
    st.integers(0, 9),
    st.lists(st.sampled_from(WORDS), unique=True),
    st.integers(0, 2**32),
    st.sampled_from(sorted(TEMPLATES)),
)
def test_a_caption_is_a_template_some_attributes_and_a_class_word(label, words, seed, style):
    text = caption(label, words, np.random.default_rng(seed), style)
    assert text == caption(label, words, np.random.default_rng(seed), style)
    matches = [
        (filled, name)
        for template in TEMPLATES[style]
        for name in CLASS_WORDS[label]
        for before, after in [template.split("{}")]
        if text.startswith(before) and text.endswith(name + after)
        for filled in [text[len(before) : len(text) - len(name + after)].split()]
        if all(word in words for word in filled)
    ]
    assert matches, text
    filled, _ = matches[0]
    assert filled == [word for word in words if word in filled]  # in the order given, once each


def test_every_word_and_template_is_used():
    rng = np.random.default_rng(0)
    for style, templates in TEMPLATES.items():
        seen = {caption(3, [], rng, style) for _ in range(600)}
        assert seen == {t.format(name) for t in templates for name in CLASS_WORDS[3]}


def test_shares_of_class_names_and_attributes():
    """0.7 of captions use the first class word; 0.6 * 0.7 of them name a given attribute."""
    rng, n = np.random.default_rng(1), 4000
    texts = [caption(3, ["slim"], rng) for _ in range(n)]
    first = np.mean(["dress" in text for text in texts])
    slim = np.mean(["slim" in text for text in texts])
    assert first == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / n))
    assert slim == pytest.approx(0.42, abs=4 * np.sqrt(0.42 * 0.58 / n))


def test_class_words_are_ten_disjoint_rows_and_templates_take_one_name():
    names = [name for row in CLASS_WORDS for name in row]
    assert len(CLASS_WORDS) == 10 and len(set(names)) == len(names)
    assert all(t.count("{}") == 1 for row in TEMPLATES.values() for t in row)
