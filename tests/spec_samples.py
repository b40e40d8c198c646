"""One spec of every kind, made without any data."""

from __future__ import annotations

from dataworth.images.classifiers import ClassifierSpec
from dataworth.images.clip import ClipSpec, RecognisedSpec
from dataworth.images.fidelity import FidelitySpec
from dataworth.images.generator_pool import Recipe
from dataworth.images.memorisation import MemorisationSpec
from dataworth.images.parts import RealPart, ShardSpec, SyntheticPart, SyntheticPool
from dataworth.images.preview import PreviewSpec
from dataworth.images.shifts import ShiftPoolSpec
from dataworth.images.train_generator import AutoencoderSpec, GeneratorSpec
from dataworth.runs import Spec
from dataworth.text.count_models import CountsSpec, SampledSpec
from dataworth.text.downstream import ChoiceSpec, FineTuneSpec, Questions
from dataworth.text.evaluation import Evaluation
from dataworth.text.generation import GenerationSpec
from dataworth.text.measures import CharacteristicsSpec
from dataworth.text.score_runs import ScoresSpec
from dataworth.text.tokens import TextPart, TokenizerSpec, TokensSpec
from dataworth.text.training import LanguageModelSpec

POOL = SyntheticPool(weights="0" * 64, names=("shirt", "coat"))
REAL = RealPart(ids=(1, 2))
SYNTHETIC = SyntheticPart(pool=POOL, ids=(0, 1))
CLASSIFIER = ClassifierSpec(parts=(REAL, SYNTHETIC))
TEXT = TextPart(card="sotu", split="train", ids=(1, 2))
TOKENIZER = TokenizerSpec(parts=(TEXT,))
MODEL = LanguageModelSpec(parts=(TEXT,), tokenizer=TOKENIZER, keep_weights=True)
TEST = (Evaluation(name="test", part=TEXT),)

IMAGES: list[Spec] = [
    ShardSpec(**POOL.model_dump(), start=0),
    CLASSIFIER,
    ShiftPoolSpec(),
    FidelitySpec(pool=POOL, size=2, reference=CLASSIFIER),
    ClipSpec(parts=(REAL,), probe=REAL),
    RecognisedSpec(part=SYNTHETIC, reference=CLASSIFIER),
    PreviewSpec(pool=POOL, prompt_sets=("photo",), count=1),
    AutoencoderSpec(card="icons", family="latent-diffusion"),
    GeneratorSpec(card="fashion-mnist", family="pixel-diffusion", recipe=Recipe()),
    MemorisationSpec(pool=POOL, size=2, recipe=Recipe()),
]
TEXTS: list[Spec] = [
    TOKENIZER,
    TokensSpec(tokenizer=TOKENIZER, card="sotu"),
    MODEL,
    CountsSpec(parts=(TEXT,), tokenizer=TOKENIZER),
    SampledSpec(counts=CountsSpec(parts=(TEXT,), tokenizer=TOKENIZER), tokens=8),
    CharacteristicsSpec(parts=(TEXT,)),
    ScoresSpec(scorer="quality", cards=("sotu",)),
    FineTuneSpec(pretrained=MODEL, train=TEXT, evaluations=TEST, label="party", classes=("a", "b")),
    ChoiceSpec(
        pretrained=MODEL,
        questions=(Questions(part=TEXT, groups=("a", "a"), places=1),),
        prompt=4,
        continuation=4,
    ),
    GenerationSpec(pretrained=MODEL, prompts=("a",)),
]
EVERY = [*IMAGES, *TEXTS]
