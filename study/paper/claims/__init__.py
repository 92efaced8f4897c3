"""Check the paper's claims, which are sentences that results could refute.

In `paper/source.md`, a claim is written `{% claim name %}The sentence.{% end %}`. `CLAIMS` has a
predicate for each name, a function that checks the sentence against results. The build of the paper
checks every claim, and stops if a sentence has no predicate, a predicate has no sentence, or the
results refute a sentence.
"""

from study.paper.claims.comparisons import compared
from study.paper.claims.predicates import ANALYSED, Verdict
from study.paper.claims.registry import CLAIMS, judge

__all__ = ["ANALYSED", "CLAIMS", "Verdict", "compared", "judge"]
