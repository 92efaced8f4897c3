"""The paper's assertions that results could refute, each a predicate checked at every build.

In `paper/source.md` a claim stands around its sentence: `{% claim name %}The sentence.{% end %}`. A
sentence without a predicate, a predicate without a sentence, and a predicate that fails each stop
the build.
"""

from study.paper.claims.comparisons import compared
from study.paper.claims.predicates import Verdict
from study.paper.claims.registry import CLAIMS, judge

__all__ = ["CLAIMS", "Verdict", "compared", "judge"]
