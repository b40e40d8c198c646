"""The study behind the chapter *repetition*: what text is worth that was read before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from dataworth.arrays import Array
from dataworth.errors import UserError
from dataworth.parameters import field
from dataworth.runs import Result, Store
from dataworth.runs.kept import keep
from dataworth.stats import Estimate, estimate
from dataworth.studies import base
from dataworth.studies.text import (
    BYTES_PER_TOKEN,
    TextStudy,
    check_texts,
    held_out_of,
    nats_per_token,
    tokenizer_of,
)
from dataworth.text.pools import DOMAINS, draw, own_bytes, whole_card
from dataworth.text.tokens import TextPart, TokenizerSpec, run_text_tasks
from dataworth.text.training import LanguageModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dataworth.fit import Fit
    from dataworth.studies.text_cost import Training

SECTION = 2_000  # bytes: text of many documents in the smallest set
WHOLE = 10**9  # bytes of a document
NEW, NOTHING = 1e6, 1e-3
"""R* of two simpler rules: repeated tokens count as new ones, or for nothing."""

OFTEN = 4
"""How often the set of the first claim is read."""

Ascending = Annotated[tuple[int, ...], Field(min_length=3)]
Cell = tuple[int, int]
"""Unique tokens asked for, and how often they are read."""


class Repetition(TextStudy):
    """Parameters of the chapter."""

    shipped: ClassVar[str] = "rfc"

    unique_tokens: Ascending = field("sizes of the sets of unique text", "tokens")
    epochs: Ascending = field("how often a set is read", "times")
    most_tokens: int = field("longest training", "tokens", ge=1, le=10**15)
    held_out_documents: int = field("held-out documents, at most", "documents", ge=10, le=10**9)
    document_tokens: int = field(
        "tokens of every held-out document, from its beginning", "tokens", ge=50, le=10**9
    )

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        for name in ("unique_tokens", "epochs"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"{name} must rise, from 1 on")
        if self.epochs[0] != 1:
            raise ValueError("epochs must begin with 1: new text is what repeated text is held to")
        if self.unique_tokens[0] < self.batch * self.context:
            raise ValueError(
                f"unique_tokens begins with {self.unique_tokens[0]:,}; a step of {self.batch} rows "
                f"of {self.context} tokens takes {self.batch * self.context:,}"
            )
        if not self.pairs(OFTEN):
            raise ValueError(
                "unique_tokens, epochs and most_tokens leave no set that is read four times beside "
                "one of four times as much text"
            )
        return self

    @property
    def own(self) -> bool:
        """Whether the corpus is a card of one's own."""
        return check_texts(self.card, self.shipped)

    def tokenizer(self) -> TokenizerSpec:
        """That of all text chapters; of one's own card alone where there is one."""
        domains = {self.card: whole_card(self.card)} if self.own else DOMAINS
        return tokenizer_of(self.seed, domains, self.vocabulary)

    def cells(self) -> list[Cell]:
        """Sets and epochs, all trainings of up to `most_tokens`."""
        return [
            (unique, epochs)
            for unique in self.unique_tokens
            for epochs in self.epochs
            if unique * epochs <= self.most_tokens
        ]

    def pairs(self, epochs: int) -> list[tuple[Cell, Cell]]:
        """A set that is read so often beside one of as many new tokens, the smallest first."""
        known = set(self.cells())
        return [
            ((n, epochs), (n * epochs, 1))
            for n in self.unique_tokens
            if {(n, epochs), (n * epochs, 1)} <= known
        ]

    def text(self, unique: int, run: int) -> tuple[TextPart, ...]:
        """About so many tokens of training text, drawn anew for every run, in sections of many
        documents."""
        domains = {self.card: whole_card(self.card)}
        size = round(unique * BYTES_PER_TOKEN)
        seed = self.seed + run
        return draw({self.card: 1.0}, size, seed=seed, section=SECTION, domains=domains).parts()

    def specs(self) -> dict[Cell, list[LanguageModelSpec]]:
        """Trainings by cell, [run]."""
        asked = held_out_of(self.card, self.held_out_documents, self.document_tokens, self.seed)
        return {
            (unique, epochs): [
                self.language_model(self.text(unique, run), run, asked, unique * epochs)
                for run in range(self.seeds)
            ]
            for unique, epochs in self.cells()
        }

    def trainings(self) -> list[Training]:
        """Language models by how often they read their text."""
        from dataworth.studies.text_cost import Training

        return [
            Training(f"{unique:,} tokens", self.model, self.seeds, unique * epochs)
            for unique, epochs in self.cells()
        ]

    def preflight(self) -> None:
        """Raises UserError before anything runs: too little text or disk."""
        wanted = round(max(self.unique_tokens) * BYTES_PER_TOKEN)
        if (held := own_bytes(self.card, WHOLE)) < wanted:
            raise UserError(
                f"unique_tokens: {max(self.unique_tokens):,} tokens take about {wanted:,} bytes; "
                f"{self.card} has {held:,} to train on. Choose smaller sets."
            )
        self.check(runs=self.seeds * len(self.cells()), budget="most_tokens")


@dataclass(frozen=True, eq=False)
class Study(base.Study):
    """Finished runs by cell, [run]."""

    params: Repetition
    runs: Mapping[Cell, Sequence[Result]]

    def kinds(self) -> Mapping[str, Any]:
        """All results, by kind."""
        named = {f"{unique:,} tokens, {e} times": runs for (unique, e), runs in self.runs.items()}
        return {"language models": named}

    @cached_property
    def losses(self) -> dict[Cell, Estimate]:
        """Nats per token of every cell on held-out documents."""
        p = self.params
        means, draws = nats_per_token(list(self.runs.values()), p.card, p.resamples, p.seed)
        return {cell: estimate(means[i].mean(), draws[:, i]) for i, cell in enumerate(self.runs)}

    def by_set(self) -> dict[str, dict[int, Estimate]]:
        """Losses by set, at the tokens of all epochs together."""
        found: dict[str, dict[int, Estimate]] = {}
        for (unique, epochs), e in self.losses.items():
            found.setdefault(f"{unique:,} unique", {})[unique * epochs] = e
        return found

    def at_equal_tokens(self) -> dict[int, Estimate]:
        """Losses of the longest trainings of equal length, by the number of epochs."""
        longest = max(unique * epochs for unique, epochs in self.losses)
        return {
            epochs: e
            for (unique, epochs), e in sorted(self.losses.items(), key=lambda item: item[0][1])
            if unique * epochs == longest
        }

    def against_new(self, epochs: int = OFTEN) -> Estimate:
        """Loss of the largest set that was read so often over that of as many new tokens."""
        repeated, new = self.params.pairs(epochs)[-1]
        return self.losses[repeated].over(self.losses[new])

    @cached_property
    def sizes(self) -> dict[str, Array]:
        """What the cells really read, mean over runs: `D` tokens, `U_D` of them unique; and one
        size of model (`N`, `U_N`)."""
        rows = [[r.metrics for r in runs] for runs in self.runs.values()]
        unique = np.array([np.mean([m["unique_tokens"] for m in row]) for row in rows])
        read = np.array([np.mean([m["tokens_seen"] for m in row]) for row in rows])
        ones = np.ones(len(rows))
        return {"N": ones, "D": read, "U_N": ones, "U_D": np.minimum(unique, read)}

    @cached_property
    def falling(self) -> NDArray[np.bool_]:
        """(cells,) which cells the rules are fitted to: those up to the lowest loss of their set.
        Beyond it a model learns its text by heart and the loss on other text rises, which none of
        the rules can do."""
        lowest = {
            unique: min((e.value, epochs) for (u, epochs), e in self.losses.items() if u == unique)
            for unique, _ in self.losses
        }
        return np.array([epochs <= lowest[unique][1] for unique, epochs in self.losses])

    def fit(self, repeats: float | None = None, among: NDArray[np.bool_] | None = None) -> Fit:
        """The data-constrained law with one size of model; repeats: R*, where it is given; among:
        the cells (default: `falling`).

        A N^-alpha is a constant then, which E holds."""
        from dataworth.fit import fit

        some = self.falling if among is None else among
        cells = [e for e, taken in zip(self.losses.values(), some, strict=True) if taken]
        fixed = {"A": 1e-9, "alpha": 1.0, "R_N": 1.0} | ({"R_D": repeats} if repeats else {})
        return fit(
            {name: of[some] for name, of in self.sizes.items()}
            | {"loss": np.array([e.value for e in cells])},
            law="repetition", x=("N", "D", "U_N", "U_D"), y="loss", fixed=fixed,
            draws=np.stack([e.draws for e in cells], 1),
        )  # fmt: skip

    @cached_property
    def law(self) -> Fit:
        """The data-constrained law, all parameters free but the model's."""
        return self.fit()

    def decay_constant(self, law: Fit | None = None) -> Estimate:
        """R* of the law: after so many repetitions a further one is worth 1/e of new text."""
        law = law or self.law
        return estimate(law.params["R_D"], law.draws["R_D"])

    def of_all_cells(self) -> Estimate:
        """R* of the law fitted to every cell."""
        return self.decay_constant(self.fit(among=np.ones(len(self.losses), dtype=bool)))

    @cached_property
    def rules(self) -> dict[str, Fit]:
        """The law, and two simpler ones, which have its other parameters."""
        return {
            "worth decays": self.law,
            "repeated as new": self.fit(NEW),
            "repeated for nothing": self.fit(NOTHING),
        }

    def errors(self) -> dict[str, Estimate]:
        """Root mean squared error of the log loss of each rule over the cells it is fitted to."""
        names = ("N", "D", "U_N", "U_D")
        x = np.stack([self.sizes[name][self.falling] for name in names], -1)
        seen = np.log([e.value for e in self.losses.values()])[self.falling]
        drawn = np.log(np.stack([e.draws for e in self.losses.values()], 1))[:, self.falling]
        found = {}
        for name, law in self.rules.items():
            off = np.log(law.mean(x))
            value = np.sqrt(np.mean((seen - off) ** 2))
            found[name] = estimate(float(value), np.sqrt(np.mean((drawn - off) ** 2, axis=1)))
        return found

    def law_table(self) -> pd.DataFrame:
        """A row a rule: its `error`, its `exponent` and R* (none where it is given), as
        estimates."""
        import pandas as pd

        errors = self.errors()
        rows = {
            name: {
                "error": errors[name],
                "exponent": estimate(law.params["beta"], law.draws["beta"]),
                "R*": self.decay_constant() if law is self.law else None,
            }
            for name, law in self.rules.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")

    def over_simpler(self) -> Estimate:
        """Error of the law over that of the better of the two simpler rules."""
        own, *others = self.errors().values()
        return own.over(min(others, key=lambda e: e.value))

    def table(self) -> pd.DataFrame:
        """Nats per token by set and epochs, as estimates."""
        import pandas as pd

        rows: dict[str, dict[str, Estimate]] = {}
        for (unique, epochs), e in self.losses.items():
            rows.setdefault(f"{unique:,}", {})[f"read {epochs} ×"] = e
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("unique tokens")


@keep
def run(params: Repetition, store: Store | None = None) -> Study:
    """Run what is missing and collect the study."""
    params.preflight()
    store = store or Store()
    runs = base.run_grid(params.specs(), store, "language models", run=run_text_tasks)
    return Study(params, runs)
