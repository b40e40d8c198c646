from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from dataworth.images.captions import CLASS_WORDS, attributes
from dataworth.images.prompts import (
    LEAKS_REAL_DATA,
    PROMPT_SETS,
    hub,
    in_captions,
    make_tables,
    places,
    prompt,
    split_name,
    word2sen,
)
from dataworth.images.prompts.templates import templates
from dataworth.images.prompts.vocabulary import vocabulary

GARMENTS = [words[0] for words in CLASS_WORDS]
NINE = {
    *("classnames", "description", "hypernyms", "description-places", "hypernyms-places"),
    *("word2sen", "clip-7", "clip-80", "in-captions"),
}


@pytest.fixture(autouse=True)
def fresh(splits):
    """No caption of another test's images."""
    caches = (in_captions._pool, in_captions.model_captions, hub.loaded)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_the_nine_sets_and_photo():
    assert NINE | {"photo", "styles", "own-names"} == set(PROMPT_SETS)


@pytest.mark.parametrize("prompt_set", PROMPT_SETS)
def test_prompts_of_the_garments(prompt_set):
    for name in GARMENTS:
        for seed in (0, 7 << 40):
            text = prompt(prompt_set, name, seed)
            assert text == prompt(prompt_set, name, seed)
            assert name in text and text == text.strip() and "{" not in text and "  " not in text


@pytest.mark.parametrize("prompt_set", sorted(set(PROMPT_SETS) - {"in-captions", "word2sen"}))
def test_prompts_of_imagenet(prompt_set):
    names = list(vocabulary("imagenet-1k"))
    texts = [prompt(prompt_set, name, 5, "imagenet-1k") for name in names]
    assert all(name in text for name, text in zip(names, texts, strict=True))
    assert len(set(texts)) == 1000


def test_word2sen_of_imagenet():
    for name in list(vocabulary("imagenet-1k"))[::40]:
        assert name in prompt("word2sen", name, 1, "imagenet-1k")
    every = [word2sen.nearest(words.ancestry) for words in vocabulary("imagenet-1k").values()]
    assert len(set(every)) > 10  # kinds of things are told apart


def test_templates_without_a_draw():
    assert prompt("classnames", "ankle boot", 1) == "ankle boot"
    assert prompt("photo", "t-shirt", 1) == "a photo of a t-shirt"


def test_examples_of_the_paper():
    """The examples that Fan et al. 2023 give for each set."""
    say = lambda prompt_set: prompt(prompt_set, "tench", 0, "imagenet-1k")  # noqa: E731
    assert say("classnames") == "tench"
    assert say("description").startswith(
        "tench, freshwater dace-like game fish of Europe and western Asia"
    )
    assert say("hypernyms") == "tench, Tinca tinca, cyprinid, cyprinid fish"
    large = {prompt("clip-7", "tench", seed, "imagenet-1k") for seed in range(100)}
    assert "a photo of the large tench." in large


def test_synsets_of_the_garments():
    assert prompt("hypernyms", "t-shirt", 0) == "t-shirt, jersey, tee shirt, shirt"
    assert prompt("hypernyms", "ankle boot", 0) == "ankle boot, boot, footwear, footgear"
    assert prompt("hypernyms", "sneaker", 0) == "sneaker, gym shoe, tennis shoe, shoe"
    assert prompt("description", "sandal", 0) == (
        "sandal, a shoe consisting of a sole fastened by straps to the foot"
    )
    assert list(vocabulary("fashion-mnist")) == GARMENTS
    clothes_or_container = {"03127399", "03099154"}  # WordNet 3.1: covering; container
    for words in vocabulary("fashion-mnist").values():
        assert words.ancestry[0] == "00001740"  # entity
        assert clothes_or_container & set(words.ancestry)


def test_tables_agree_with_timm_and_open_clip():
    if not importlib.util.find_spec("open_clip"):  # looked for, not imported: that loads torch
        pytest.skip("open_clip is not installed")
    metadata = make_tables.clip_metadata()
    for prompt_set, theirs in {
        "clip-7": metadata.SIMPLE_IMAGENET_TEMPLATES,
        "clip-80": metadata.OPENAI_IMAGENET_TEMPLATES,
    }.items():
        assert [t.format("owl") for t in templates(prompt_set)] == [t("owl") for t in theirs]
    classes = vocabulary("imagenet-1k")
    differ = {i for i, name in enumerate(classes) if name != metadata.IMAGENET_CLASSNAMES[i]}
    assert differ == {744, 836}  # the second missile and the first sunglasses, told apart
    assert (list(classes)[744], list(classes)[836]) == ("projectile", "sunglass")
    folder = make_tables.package_folder("timm") / "data" / "_info"
    ids = (folder / "imagenet_synsets.txt").read_text().split()
    assert [words.synset for words in classes.values()] == ids
    definitions = make_tables.timm_table("imagenet_synset_to_definition.txt")
    lemmas = make_tables.timm_table("imagenet_synset_to_lemma.txt")
    for words in (*classes.values(), *vocabulary("fashion-mnist").values()):
        assert words.definition == definitions[words.synset]
        assert ", ".join(words.lemmas) == lemmas[words.synset]


def test_wordnet_lines_are_read(tmp_path):
    """Two lines of data.noun; a hypernym of tench becomes its h_c."""
    (tmp_path / "data.noun").write_text(
        "  1 This software and database\n"
        "01441762 05 n 02 cyprinid 0 cyprinid_fish 0 001 @ 01440849 n 0000 | soft-finned fish  \n"
        "01443405 05 n 02 tench 0 Tinca_tinca 0 002 @ 01441762 n 0000 #m 01443296 n 0000 "
        '| freshwater game fish; "he caught a tench"; "a tench, alive"  \n'
    )
    nouns = make_tables.read_synsets(tmp_path / "data.noun")
    tench = nouns["01443405"]
    assert tench.lemmas == ("tench", "Tinca tinca") and tench.hypernyms == ("01441762",)
    assert tench.definition == "freshwater game fish"
    assert tench.examples == ("he caught a tench", "a tench, alive")
    assert nouns["01441762"].lemmas[1] == "cyprinid fish" and tench.file == 5


@pytest.mark.parametrize(("prompt_set", "kinds"), [("clip-7", 7), ("clip-80", 80)])
def test_seeds_spread_over_templates(prompt_set, kinds):
    # Seeds of neighbouring images of one pool: the worst case for independence.
    counts = Counter(prompt(prompt_set, "dress", (2 << 40) + i) for i in range(50 * kinds))
    assert len(counts) == kinds
    assert chisquare(list(counts.values())).pvalue > 0.001


def test_seeds_spread_over_places_and_sentences():
    texts = Counter(prompt("hypernyms-places", "bag", i) for i in range(40 * len(places.PLACES)))
    assert {text.split(" inside ")[1] for text in texts} == set(places.PLACES)
    assert chisquare(list(texts.values())).pvalue > 0.001
    assert len(set(places.PLACES)) == len(places.PLACES) > 100
    drawn = {prompt("word2sen", "bag", i) for i in range(2000)}
    assert drawn == set(word2sen.sentences("bag", "fashion-mnist")) and len(drawn) == 100


def test_trigrams_know_only_what_they_saw():
    """One sentence: nothing else can come out; two that cross: their four combinations."""
    rng = np.random.default_rng(0)
    one = word2sen.Trigrams([["she", "wore", "a", "{}", "today"]])
    assert one.sample(rng) == ["she", "wore", "a", "{}", "today"]
    two = word2sen.Trigrams([["his", "{}", "was", "old"], ["her", "{}", "was", "new"]])
    drawn = {" ".join(two.sample(rng)) for _ in range(400)}
    assert drawn == {f"{who} {{}} was {how}" for who in ("his", "her") for how in ("old", "new")}


def test_sentences_are_short_and_have_the_right_article():
    for name in GARMENTS:
        for text in word2sen.sentences(name, "fashion-mnist"):
            assert len(text.replace(name, "x").split()) <= word2sen.LONGEST
    boots = " ".join(f" {text} " for text in word2sen.sentences("ankle boot", "fashion-mnist"))
    assert " an ankle boot" in boots and " a ankle boot" not in boots


def test_in_captions_describe_classifier_pool_images_only(splits):
    texts = {prompt("in-captions", name, seed) for name in GARMENTS for seed in range(50)}
    assert set(splits.calls) == {("fashion-mnist", "classifier_pool")}
    pool = splits("fashion-mnist", "classifier_pool")
    known = {word for row in attributes(pool.images, pool.labels) for word in row}
    described = {word for text in texts for word in text.split(", ", 1)[1].split()}
    every = {"dark", "bright", "plain", "patterned", "slim", "wide", "heeled", "flat", "high"}
    assert described & every and not described & every - known
    assert all(text.split(", ")[0] in GARMENTS for text in texts)


def test_the_set_that_leaks_says_so():
    assert set(LEAKS_REAL_DATA) == {"in-captions"}
    assert split_name("in-captions:some/model")[0] in LEAKS_REAL_DATA
    assert split_name("word2sen:some/model")[0] not in LEAKS_REAL_DATA
    assert "leaks real data" in str(in_captions.__doc__)


@pytest.mark.parametrize("prompt_set", PROMPT_SETS)
def test_only_the_first_prompts_of_a_set_read_anything(prompt_set):
    """Words are read once: a million prompts open no more files than one of each class."""
    opened: list[object] = []
    watching = False
    # A hook cannot be taken away again; this one is silent after its test.
    sys.addaudithook(lambda event, at: opened.append(at) if watching and event == "open" else None)
    for name in GARMENTS:
        prompt(prompt_set, name, 0)
    watching = True
    try:
        for i in range(100):
            prompt(prompt_set, GARMENTS[i % 10], i)
        assert opened == []
        open(__file__).close()  # noqa: PTH123 (the hook does see what is opened)
    finally:
        watching = False
    assert len(opened) == 1


def test_prompts_need_no_torch():
    code = (
        "import sys; from dataworth.images.prompts import PROMPT_SETS, prompt\n"
        "[prompt(s, 'dress', 1) for s in PROMPT_SETS if s != 'in-captions']\n"
        "assert not {'torch', 'timm', 'open_clip', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_own_names_are_what_the_icons_are_called():
    """As the generator's captions are: a word of the class, half of the time a style behind it."""
    from dataworth.data import card

    words = dict(zip(card("icons").classes, card("icons").class_words, strict=True))
    drawn = [prompt("own-names", "home", seed, "icons") for seed in range(400)]
    bare = [text for text in drawn if not text.endswith((" outline", " filled"))]
    assert {*bare} == {*words["home"]} and 160 < len(bare) < 240
    styled = {text.rpartition(" ")[0] for text in drawn if text not in bare}
    assert styled == {*words["home"]}
    assert prompt("own-names", "dress", 3) == "dress"
