"""Generations of counts of tokens, each of which learns from text that the one before has written.

A run is a whole line of descent up to one of its models. Earlier ones are counted anew for every
later one: that takes less than to store what they wrote, and a run's fields stay few.
"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dataworth.runs import Outcome, Spec, Store
from dataworth.text.count_models import CountsSpec, first_tokens
from dataworth.text.counts import counted
from dataworth.text.evaluation import evaluated
from dataworth.text.tokens import TokensSpec, load_parts


class LineageSpec(Spec):
    """The model of a generation, the first of which is 0 and reads the real text of `counts`.

    Every model writes as many tokens as that has, and the next one learns from these: instead of
    what there was (the *replace* of Gerstgrasser et al. 2024, section 2), or in addition to it
    (`accumulate`).
    """

    kind: ClassVar[str] = "lineage"
    counts: CountsSpec
    generation: int = Field(ge=1)
    accumulate: bool
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _of_real_text(self) -> Self:
        if self.counts.tokens is None or self.counts.sampled:
            raise ValueError("counts: a line begins with so many `tokens` of real text alone")
        return self

    def corpora(self) -> tuple[TokensSpec, ...]:
        """Those of the counts."""
        return self.counts.corpora()

    def run(self, store: Store) -> Outcome:
        """Arrays and metrics of `evaluation.evaluated`, of the last model; as metrics also
        `parameters`, the kinds that it counts."""
        first, size = self.counts, self.counts.tokens or 0
        vocabulary, end = first.tokenizer.vocabulary, first.tokenizer.end
        real = [d for part in load_parts(first.tokenizer, first.parts, store) for d in part]
        documents = first_tokens(real, size, "parts")
        model = counted(documents, first.order, vocabulary, end)
        for generation in range(self.generation):
            stream = np.random.SeedSequence([self.seed, generation]).generate_state(1)
            text = model.sample(size, temperature=self.temperature, seed=int(stream[0]))
            kept = documents if self.accumulate else []
            documents = [*kept, *first_tokens(text, size, "sampled")]
            model = counted(documents, first.order, vocabulary, end)
        arrays, metrics = evaluated(first.evaluations, first.tokenizer, store, model.nats)
        kinds = sum(len(level.kinds) for level in model.levels)
        return Outcome(arrays, {"parameters": kinds, **metrics})
