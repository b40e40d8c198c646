"""A law written as text, `E + A*N^-alpha + B*D^-beta`: a sum of parameters times powers."""

from __future__ import annotations

import ast
import re
from typing import Any, NoReturn

from dataworth.errors import UserError, quoted

from .powers import PowerSum, Term

LONGEST = 300
GREEK = ("alpha", "beta", "gamma", "delta", "epsilon", "eta", "kappa", "lambda", "mu", "nu",
         "rho", "sigma", "tau", "theta")  # fmt: skip
FREE, FALLING = (-5.0, 5.0), (0.0, 5.0)


def looks_written(text: str) -> bool:
    """Whether a law's name is a formula."""
    return any(sign in text for sign in "+*/^")


def law(text: str) -> PowerSum:
    """The law that a formula states.

    Every term is one parameter times powers of variables with a parameter as exponent, c*N^-a*D^b
    or A/N^alpha; a parameter alone is the floor. What stands under a power is a variable, in the
    order of --x. In a law of one term exponents may have either sign; in a sum they are positive as
    they are written.

    Raises:
        UserError: the text is no such formula.
    """
    if len(text) > LONGEST:
        raise UserError(f"The law has {len(text)} characters; {LONGEST} are allowed.")
    return _Reader(text).law()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.variables: dict[str, None] = {}
        self.amplitudes: list[str] = []
        self.exponents: dict[str, None] = {}
        self.floor: str | None = None

    def law(self) -> PowerSum:
        text = self.text.partition("=")[2] if "=" in self.text else self.text
        try:
            tree = ast.parse(text.replace("^", "**").strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            self.refuse("it cannot be read")
        terms = [self.term(node) for node in self.sum(tree)]
        if not self.variables:
            self.refuse("it has no power of a variable")
        twice = [n for n in self.amplitudes if self.amplitudes.count(n) > 1 or n in self.exponents]
        if twice:
            self.refuse(f"the parameter {twice[0]} stands in two places")
        if both := [n for n in self.variables if n in self.amplitudes or n in self.exponents]:
            self.refuse(f"{both[0]} is a variable and a parameter")
        return PowerSum(
            written(terms), tuple(terms), latex(terms), tuple(self.variables), self.floor,
            FREE if len(terms) == 1 else FALLING,
        )  # fmt: skip

    def refuse(self, reason: str) -> NoReturn:
        raise UserError(
            f"The law {quoted(self.text)}: {reason}; write a sum of parameters times powers, such "
            "as E + A*N^-alpha + B*D^-beta or c*N^a*D^b, or name a law of `dataworth laws`."
        )

    def sum(self, node: ast.expr) -> list[ast.expr]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [*self.sum(node.left), *self.sum(node.right)]
        return [node]

    def term(self, node: ast.expr) -> Term:
        amplitude: list[str] = []
        powers: dict[str, str] = {}
        for factor, sign in self.factors(node, 1):
            match factor:
                case ast.Name(id=name) if sign > 0:
                    amplitude.append(name)
                case ast.BinOp(left=ast.Name(id=base), op=ast.Pow(), right=exponent):
                    name, own = self.exponent(exponent)
                    if base in powers:
                        self.refuse(f"a term has two powers of {base}")
                    powers[base] = ("+" if own * sign > 0 else "") + name
                    self.variables.setdefault(base)
                    self.exponents.setdefault(name)
                case _:
                    self.refuse(f"{_spelled(factor)} is no parameter or power")
        if len(amplitude) != 1:
            self.refuse(f"the term {_spelled(node)} needs one parameter that multiplies it")
        self.amplitudes += amplitude
        if not powers:
            if self.floor is not None:
                self.refuse(f"it has two floors, {self.floor} and {amplitude[0]}")
            self.floor = amplitude[0]
        return Term(amplitude[0], powers)

    def factors(self, node: ast.expr, sign: int) -> list[tuple[ast.expr, int]]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
            right = sign if isinstance(node.op, ast.Mult) else -sign
            return [*self.factors(node.left, sign), *self.factors(node.right, right)]
        return [(node, sign)]

    def exponent(self, node: ast.expr) -> tuple[str, int]:
        match node:
            case ast.Name(id=name):
                return name, 1
            case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id=name)):
                return name, -1
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant()) | ast.Constant():
                self.refuse("an exponent is a parameter, which --fixed can hold at a number")
        return self.refuse("an exponent is one parameter")


def _spelled(node: ast.expr) -> str:
    """A piece of the formula as people write it."""
    text = ast.unparse(node).replace(" ** ", "^").replace(" * ", "*").replace(" / ", "/")
    return re.sub(r"\^\(-(\w+)\)", r"^-\1", text.replace("**", "^"))


def written(terms: list[Term]) -> str:
    """The formula in one spelling, which is also the law's name."""
    parts = []
    for term in terms:
        powers = [f"{v}^{e[1:]}" if e[0] == "+" else f"{v}^-{e}" for v, e in term.powers.items()]
        parts.append("*".join([term.amplitude, *powers]))
    return " + ".join(parts)


def latex(terms: list[Term]) -> str:
    """The formula for a page."""

    def symbol(name: str) -> str:
        head, _, below = name.partition("_")
        digits = re.fullmatch(r"([A-Za-z]+)(\d+)", head)
        if digits and not below:
            head, below = digits[1], digits[2]
        return ("\\" if head in GREEK else "") + head + (f"_{{{below}}}" if below else "")

    parts = []
    for term in terms:
        powers = [
            f"{symbol(v)}^{{{symbol(e[1:])}}}" if e[0] == "+" else f"{symbol(v)}^{{-{symbol(e)}}}"
            for v, e in term.powers.items()
        ]
        parts.append(" ".join([symbol(term.amplitude), *powers]))
    return "L = " + " + ".join(parts)


def record(own: PowerSum) -> dict[str, Any]:
    """A sum of powers as JSON knows it."""
    return {
        "name": own.name, "terms": [[t.amplitude, dict(t.powers)] for t in own.terms],
        "latex": own.latex, "variables": own.variables, "floor": own.floor,
        "exponent_range": own.exponent_range,
    }  # fmt: skip


def of_record(found: dict[str, Any]) -> PowerSum:
    """Inverse of `record`."""
    low, high = found["exponent_range"]
    return PowerSum(
        found["name"], tuple(Term(a, powers) for a, powers in found["terms"]), found["latex"],
        tuple(found["variables"]), found["floor"], (low, high),
    )  # fmt: skip
