"""The library's laws in words, for people who choose one: formula, variables, source; and numbers
as they are written in sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .forms import LAWS
from .laws import Law
from .powers import PowerSum

VARIABLES = {
    "x": "any size: examples, tokens, parameters, compute or steps",
    "N": "parameters of the model",
    "D": "training tokens or examples, epochs counted",
    "U_N": "parameters that the unique data would warrant",
    "U_D": "unique tokens or examples",
    "D_F": "examples of fine-tuning",
    "n": "synthetic examples of pre-training",
    "s": "real examples of fine-tuning",
    "n_real": "real examples; may be 0",
    "n_syn": "synthetic examples; may be 0",
    "L": "loss, of the task or of held-out text",
}

USE = {
    "power": "a straight line in logarithms; k may be negative (a rising curve)",
    "shifted": "a learning curve with a floor E; the first to try",
    "m3": "bends at small sizes and may level off (Alabdulmohsin et al. 2022, arXiv 2209.06640)",
    "m4": "bends at both ends, from E0 down to E (Alabdulmohsin et al. 2022, arXiv 2209.06640)",
    "broken": "two powers with a smooth break at d1 (Caballero et al. 2022, arXiv 2210.14891)",
    "broken2": "three powers with two breaks (Caballero et al. 2022, arXiv 2210.14891)",
    "chinchilla": "model and data (Hoffmann et al. 2022, arXiv 2203.15556)",
    "kaplan": "model and data, without a floor (Kaplan et al. 2020, arXiv 2001.08361)",
    "repetition": "repeated data are worth less (Muennighoff et al. 2023, arXiv 2305.16264)",
    "transfer": "data that pre-training saved (Hernandez et al. 2021, arXiv 2102.01293)",
    "syn2real": "synthetic pre-training, real fine-tuning (Mikami et al. 2021, arXiv 2108.11018)",
    "product": "settings against sizes, such as learning rate or batch size; signs are free",
    "sigmoid": "accuracy, 0 to 1, from loss; at most high (Bhagia et al. 2024, arXiv 2412.04403)",
    "exponential": "accuracy (0 to 1) from loss (Gadre et al. 2024, arXiv 2403.08540)",
    "mixture": "real and synthetic examples together (after Hernandez et al. 2021)",
}


def brief(value: float) -> str:
    """Three digits, with the exponent as people write it: 5,000, 2.5e9."""
    if 1000 <= abs(value) < 1e5:
        return f"{float(f'{value:.3g}'):,.0f}"
    return re.sub(r"e([+-])0*", lambda f: "e" + f[1].replace("+", ""), f"{value:.3g}")


def use(law: Law) -> str:
    """What a law is for, with its source."""
    return USE.get(law.name, "a law of your own")


def formula(law: Law) -> str:
    """The law's formula on one line of plain text."""
    text = law.latex
    part = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
    text = re.sub(rf"\\frac{part}{part}", r"(\1) / (\2)", text)
    text = re.sub(r"\\(left|right|,|;)", "", text).replace(r"\prod", "product")
    text = text.replace("_r", "_real").replace("_s", "_syn") if law.name == "mixture" else text
    text = re.sub(r"\\([a-zA-Z]+)", r"\1", text)
    text = re.sub(r"\^\{([^{}]*)\}", lambda f: "^" + _inner(f[1]), text)
    text = re.sub(r"_\{([^{}]*)\}", r"_\1", text).replace("{", "").replace("}", "")
    return " ".join(text.split())


def _inner(power: str) -> str:
    return power if re.fullmatch(r"[\w']+", power) else f"({power})"


def filled(law: Law, params: Mapping[str, float], names: Sequence[str], y: str) -> str | None:
    """The law with its numbers, in the columns' names; None for a law that is no sum of powers."""
    if not isinstance(law, PowerSum):
        return None
    called = dict(zip(law.variables, names, strict=True))
    terms = []
    for term in law.terms:
        amplitude = params[term.amplitude]
        if amplitude == 0:
            continue
        parts = [f"{amplitude:.5g}"]
        for variable, exponent in term.powers.items():
            power = params[exponent.lstrip("+")] * (1 if exponent[0] == "+" else -1)
            name = called[variable]
            base = name if name.isidentifier() else f"({name})"
            parts.append(f"{base}^({power:.4g})" if power < 0 else f"{base}^{power:.4g}")
        terms.append(" ".join(parts))
    return f"{y} = {' + '.join(terms) or '0'}"


def about(law: Law) -> dict[str, Any]:
    """A law as a record: its formula, its variables in the order of --x, its parameters."""
    means = [VARIABLES.get(v, "a size") if law.name in USE else "a size" for v in law.variables]
    units = law.units or tuple(means)
    return {
        "law": law.name,
        "formula": formula(law),
        "latex": law.latex,
        "use": use(law),
        "variables": [
            {"name": v, "means": what, "unit": unit, "may_be_zero": v in law.may_be_zero}
            for v, what, unit in zip(law.variables, means, units, strict=True)
        ],
        "parameters": [
            {
                "name": p.name,
                "low": p.lower,
                "high": p.upper,
                "means": "a floor: 0 means none" if p.zero else "positive" if p.log else "exponent",
            }
            for p in law.params
        ],
        "least_sizes": len(law.params),
    }


def all_laws() -> list[dict[str, Any]]:
    """`about` of every law of the library."""
    return [about(law) for law in LAWS.values()]
