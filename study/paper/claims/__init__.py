"""What the paper asserts and the results could refute: each a predicate, evaluated whenever the paper is built.

A claim is a function from the results to a `Verdict`. In `paper/source.md` it stands around its sentence:
`{% claim name %}The sentence.{% end %}`. A sentence without a predicate, a predicate without a sentence, and a
predicate that fails each stop the build.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType

import study.paper.claims.mechanism as mechanism
import study.paper.claims.post as post
import study.paper.claims.training as training
from study.errors import BadInput, Problem, unknown
from study.paper.claims.verdict import Verdict
from study.paper.values import Runs

__all__ = ["CLAIMS", "Verdict", "judge"]


def _claims_of(module: ModuleType) -> dict[str, Callable[[Runs], Verdict]]:
    """The public functions that a module defines; helpers begin with an underscore."""
    return {
        name: function
        for name, function in vars(module).items()
        if isinstance(function, FunctionType)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    }


CLAIMS = _claims_of(training) | _claims_of(post) | _claims_of(mechanism)


def judge(results: Runs, sentences: dict[str, str]) -> dict[str, Verdict]:
    """The verdict of each claim of a text (name to sentence); `BadInput` names every sentence that cannot stand."""
    verdicts = {name: CLAIMS[name](results) for name in sentences if name in CLAIMS}
    problems = [
        Problem(f"claim {name}", f"{unknown('claim', name, CLAIMS)}; its sentence: {sentence}")
        for name, sentence in sentences.items()
        if name not in CLAIMS
    ]
    problems += [
        Problem(f"claim {name}", "has no sentence in the text")
        for name in CLAIMS
        if name not in sentences
    ]
    problems += [
        Problem(f"claim {name}", f"the results refute: {sentences[name]} ({_numbers(verdict)})")
        for name, verdict in verdicts.items()
        if not verdict.holds
    ]
    if problems:
        raise BadInput(problems)
    return verdicts


def _numbers(verdict: Verdict) -> str:
    return "; ".join(f"{name}: {value.text}" for name, value in verdict.evidence.items())
