"""The paper's claims: sentences that results could refute, each checked at every build.

`paper/source.md` marks the sentence of a claim: `{% claim name %}The sentence.{% end %}`. The build
stops at a sentence without a predicate, a predicate without a sentence, and a predicate that fails.
"""

from study.paper.claims.comparisons import compared
from study.paper.claims.predicates import Verdict
from study.paper.claims.registry import CLAIMS, judge

__all__ = ["CLAIMS", "Verdict", "compared", "judge"]
