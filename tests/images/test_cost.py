"""Dry runs: names, shapes and parameter counts against published ones, and how costs scale."""

import pytest

from cells import cell
from dataworth.data import card, load_images
from dataworth.data.large import LargeCard, large_card, large_cards
from dataworth.errors import UserError
from dataworth.images.classifiers import MODELS
from dataworth.images.generators.named import GENERATORS
from dataworth.runs import report
from dataworth.studies import image_cost as cost
from dataworth.studies import networks
from dataworth.studies.image_cost import Drawing, Training, dry_run
from dataworth.studies.images import ImageStudy, class_names
from dataworth.studies.mixing import Mixing
from dataworth.studies.synthetic_scaling import SyntheticScaling


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No socket can be opened, and the hub's client knows it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*_, **__):
        raise AssertionError("a dry run opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)


# --- Shapes -----------------------------------------------------------------------------------


def test_parameters_of_the_papers_classifiers():
    """Dosovitskiy et al. 2021, Table 1, give 86 M and 307 M, without saying what the head adds."""
    base, large = (networks.classifier_network(name) for name in ("vit-b16", "vit-l16"))
    assert base.parameters == pytest.approx(86e6, rel=0.01)
    assert large.parameters == pytest.approx(307e6, rel=0.01)
    w, tokens, layers = 768, 196, 12
    block = 2 * 2 * w + (w * 3 * w + 3 * w) + (w * w + w) + (w * 4 * w + 4 * w) + (4 * w * w + w)
    written_out = (256 * 3 * w + w) + w + (tokens + 1) * w + layers * block + 2 * w + 1000 * (w + 1)
    assert base.parameters == written_out
    # 17.6 billion multiply-adds for one image of 224 pixels (attention's products included), less
    # what the last block leaves out: all but keys and values of the tokens that are not read.
    spared = 2 * tokens * (10 * w * w + 2 * (tokens + 1) * w)
    assert base.forward == pytest.approx(2 * 17.6e9 - spared, rel=0.02)


@pytest.mark.parametrize(
    ("name", "parts", "side"),
    [
        # CompVis/stable-diffusion: "860M UNet and 123M text encoder"
        ("stable-diffusion-v1-5", {"U-Net": 860e6, "text encoder": 123e6}, 512),
        # deep-floyd/IF: "IF-I-XL 4.3B", with the encoder of T5-XXL
        ("deepfloyd-if", {"U-Net": 4.3e9}, 64),
        # Podell et al. 2023, Table 1: "2.6B" and "817M", its two encoders
        ("sdxl-turbo", {"U-Net": 2.6e9, "text encoder": 817e6}, 512),
        # Chen et al. 2023: "0.6B"
        ("pixart-512", {"transformer": 0.6e9}, 512),
        # diffusers' page of aMUSEd: 603M
        ("amused-256", {"transformer": 603e6}, 256),
    ],
)
def test_parameters_of_the_hubs_generators(name, parts, side):
    network = networks.generator_network(name)
    for part, count in parts.items():
        printed = 0.02 if count in (2.6e9, 0.6e9) else 0.005  # one or two digits, or three
        assert network.parts[part] == pytest.approx(count, rel=printed)
    assert (network.side, network.channels) == (side, 3)
    assert network.parameters == sum(network.parts.values()) and network.forward > 1e9
    assert GENERATORS[name].hub in network.source


def test_what_is_missing_is_said_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("DATAWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATAWORTH_HUB", str(tmp_path))
    for repo in ("ILSVRC/imagenet-1k", "DeepFloyd/IF-I-XL-v1.0"):
        (tmp_path / repo).mkdir(parents=True)
    words = ("classnames", "in-captions:owner/captioner")
    draw = [Drawing(name, w, 10**9, 2) for name in ("sd-turbo", "deepfloyd-if") for w in words]
    rows = {str(row["step"]): row.get("resolved") for row in dry_run("imagenet-1k", draw)}
    lacking = str(rows["missing: repositories"]).partition(";")[0]
    assert lacking == (
        "vaishaal/ImageNetV2, barkermrl/imagenet-a, songweig/imagenet_sketch, axiong/imagenet-r, "
        "stabilityai/sd-turbo, owner/captioner"
    )
    assert "GB are needed" in str(rows["missing: disk"]) and "missing: GPU" in rows
    assert not [row for row in dry_run("fashion-mnist") if "missing" in str(row["step"])]


def test_a_distilled_generator_takes_one_pass_a_step():
    network = networks.generator_network("sd-turbo")
    assert network.parts["U-Net"] == 865_910_724 and network.side == 512  # as its weights have
    one = cost.generation_flops("sd-turbo", 1)[2]
    assert one == network.forward + network.decode
    assert cost.generation_flops("stable-diffusion-v1-5", 1)[2] > network.forward


@pytest.mark.parametrize("name", [name for name, g in GENERATORS.items() if g.hub is None])
def test_our_generators_draw_garments_or_icons(name):
    network = networks.generator_network(name)
    assert (network.side, network.channels) == ((32, 3) if name.endswith("-icons") else (28, 1))
    assert 1e5 < network.parameters < 1e7


# --- Names ------------------------------------------------------------------------------------


def test_large_data_sets():
    imagenet = large_card("imagenet-1k")
    classes = {name: large.class_count for name, large in large_cards().items()}
    assert classes == {
        "imagenet-1k": 1000,
        "imagenet-v2": 1000,
        "imagenet-a": 200,
        "imagenet-sketch": 1000,
        "imagenet-r": 200,
        "imagenet-100": 100,
        "cifar10": 10,
    }
    assert imagenet.synsets[0] == "n01440764"  # tench
    for place in imagenet.evaluations.values():
        found = large_card(place.card)
        assert found.splits[place.split] > 0
        assert set(found.synsets) <= set(imagenet.synsets)
    assert set(imagenet.evaluations) == {"validation", "test", "v2", "a", "sketch", "r"}
    with pytest.raises(ValueError, match="revision"):
        LargeCard.model_validate(imagenet.model_dump() | {"revision": "latest"})


def test_large_sets_are_named_before_they_are_fetched(tmp_path, monkeypatch):
    names = class_names("imagenet-1k")
    assert len(set(names)) == 1000 and names[0] == "tench"
    with pytest.raises(UserError, match="'imagenet-1k' is not here yet: dataworth data fetch"):
        card("imagenet-1k")
    monkeypatch.setenv("DATAWORTH_HUB", str(tmp_path))
    with pytest.raises(UserError, match="has no ILSVRC/imagenet-1k"):
        load_images("imagenet-1k", "test")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"card": "imagenet-2k"}, "card is 'imagenet-2k'; it must be one of fashion-mnist"),
        ({"generators": ["dall-e"]}, "generator is 'dall-e'; it must be one of pixel-diffusion"),
        ({"models": ["alexnet"]}, "model is 'alexnet'; it must be one of vit-2x32"),
        ({"prompt_sets": ["haiku"]}, "prompt_set is 'haiku'; it must be one of classnames"),
        ({"real": 2_000_000}, "2,000,000 images was asked for, but imagenet-1k has 1,281,167"),
    ],
)
def test_unknown_names_are_refused_with_one_sentence(arguments, words):
    with pytest.raises(UserError) as caught:
        dry_run(**({"card": "imagenet-1k"} | arguments))
    assert words in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no large data set 'imagenet-2k'"):
        large_card("imagenet-2k")


def test_a_pipeline_without_shapes_is_refused(monkeypatch):
    monkeypatch.setattr(networks, "PIPELINES", {})
    networks.generator_network.cache_clear()
    with pytest.raises(UserError, match="the shapes of amused/amused-256 are not known"):
        networks.generator_network("amused-256")


# --- Costs ------------------------------------------------------------------------------------


def test_costs_scale_with_images_steps_and_samples():
    one = Drawing("pixel-diffusion", "photo", 1000, 8), Training("real", "vit-2x64", 4, 10_000)
    two = Drawing("pixel-diffusion", "photo", 2000, 8), Training("real", "vit-2x64", 4, 30_000)
    slow = Drawing("pixel-diffusion", "photo", 1000, 16), one[1]
    draws, trains, totals = zip(
        *(dry_run("fashion-mnist", [d], [t])[-3:] for d, t in (one, two, slow)), strict=True
    )
    exact = {"rel": 0.01}
    assert draws[1]["PFLOP"] == pytest.approx(2 * draws[0]["PFLOP"], **exact)
    assert draws[2]["PFLOP"] == pytest.approx(2 * draws[0]["PFLOP"], **exact)
    assert draws[0]["disk GB"] == draws[2]["disk GB"] == pytest.approx(1000 * 784 / 1e9, **exact)
    assert trains[1]["PFLOP"] == pytest.approx(3 * trains[0]["PFLOP"], **exact)
    for draw, train, total in zip(draws, trains, totals, strict=True):
        assert total["step"] == "total"
        assert total["PFLOP"] == pytest.approx(draw["PFLOP"] + train["PFLOP"], **exact)
        hours = total["PFLOP"] * 1e15 / (report.PEAK * report.UTILISATION) / 3600
        assert total["GPU hours"] == pytest.approx(hours, **exact)


PAPER = {"card": "imagenet-1k", "generator": "stable-diffusion-v1-5", "model": "vit-b16"}


@pytest.mark.parametrize(
    "prompt_set", ["classnames", "photo", "clip-80", "description", "in-captions"]
)
def test_the_papers_names_resolve(prompt_set):
    rows = {row["step"]: row for row in cell(ImageStudy, **PAPER, prompt_set=prompt_set).cost()}
    assert (
        "ILSVRC/imagenet-1k@main, split train: 1,281,167"
        in rows["data imagenet-1k, training"]["resolved"]
    )
    for name in ("v2", "a", "sketch", "r"):
        assert any(step.endswith(f", {name}") for step in rows)
    assert rows[f"prompts {prompt_set}"]["resolved"].startswith("1,000 class names")
    assert rows["classifier vit-b16"]["parameters"] == "86,567,656"
    generator = rows["generator stable-diffusion-v1-5"]
    assert (
        "U-Net 859,520,964, autoencoder 83,653,863, text encoder 123,060,480"
        in generator["resolved"]
    )
    assert rows["total"]["disk GB"] > 0


@pytest.mark.parametrize("study", [SyntheticScaling, Mixing])
def test_a_chapter_costs_what_its_arms_take(study):
    sizes = {"real_sizes": (1000, 2000, 4000, 8000), "synthetic_sizes": (1000, 2000, 4000, 8000)}
    more = (
        {
            "other_sizes": (1000, 2000, 4000),
            "retrieved_sizes": (8000,),
            "fixed_steps": 20,
            "other_model": "vit-l16",
            "other_generators": (),
            "other_prompt_sets": (),
            "epochs": 4,
        }
        if study is SyntheticScaling
        else {
            "mixed_sizes": (1000,),
            "ratios": (1, 2),
            "weighted_size": 1000,
            "weighted_ratio": 2,
            "shares": (0.5,),
        }
    )
    params = cell(study, **PAPER, **sizes, **more, seeds=2, budget=((1000, 10),), batch=100)
    (drawing,) = params.drawings()
    assert drawing.images == 2 * 8000 and drawing.steps == params.solver_steps
    by_kind = {t.kind: t for t in params.trainings() if t.model == "vit-b16"}
    if study is Mixing:
        assert {k: t.runs for k, t in by_kind.items()} == {"real": 8, "synthetic": 8, "mixed": 6}
        assert by_kind["mixed"].samples == 6 * 1000
    else:
        assert by_kind["real"].runs == 2 * (4 + 1 + 3 + 3)
        controls = 3 * 20 * 100 + params.epochs * (1000 + 2000 + 4000)
        assert by_kind["real"].samples == 2 * (5 * 1000 + controls)
    steps = [row["step"].split()[0] for row in params.cost()]
    assert steps[0] == "data" and steps[-1] == "total"


@pytest.mark.parametrize("name", MODELS)
def test_every_classifier_can_be_priced(name):
    """Batch normalization refuses one image in training: profile full could not be priced."""
    network = networks.classifier_network(name, 32)
    assert network.forward > network.parameters > 0
