"""Claims on the post and the notebook: from the tables of `study.answers`, whose p-values are corrected there."""

from __future__ import annotations

from study.paper.claims.verdict import LEVEL, Verdict, bound
from study.paper.values import Runs, Value, entry

READINGS = ("step_after=epoch", "step_after=sequence")


def _zeroing(results: Runs, change: str) -> tuple[dict[str, Value], bool]:
    """What zeroing gains in share solved (paired over seeds) in both readings, and whether both differ from nothing."""
    words = [(reading, f"change={change}") for reading in READINGS]
    found = {w[0]: entry(results, "forum/answers/zeroing", "gain", *w) for w in words}
    differ = [entry(results, "forum/answers/zeroing", "p", *w).estimate < LEVEL for w in words]
    return found, all(differ)


def zeroing_hurts_the_post(results: Runs) -> Verdict:
    """In both readings zeroing lowers the share solved (McNemar's test, corrected over its table)."""
    found, differ = _zeroing(results, "as_it_is")
    return Verdict(differ and all(value.estimate < 0 for value in found.values()), found)


def zeroing_helps_adam(results: Runs) -> Verdict:
    """With Adam at the rate 0.01 zeroing raises the share solved in both readings, from less than one in five."""
    found, differ = _zeroing(results, "adam_rate_0.01")
    holds = differ and all(value.estimate > 0 for value in found.values())
    words = {r: (r, "zeroed=false", "change=adam_rate_0.01") for r in READINGS}
    never = {
        f"never zeroed, {r}": entry(results, "forum/answers/changes", "solved", *w)
        for r, w in words.items()
    }
    return Verdict(
        holds and all(bound(value.high) < 0.2 for value in never.values()), found | never
    )


def zeroed_post_never_learns(results: Runs) -> Verdict:
    """With gradients zeroed no run of the post's own settings is solved, wherever the step stands."""
    words = ("all_epochs", "epoch", "sequence")
    found = {
        w: entry(results, "forum/answers/loops", "solved", f"step_after={w}", "zeroed=true")
        for w in words
    }
    return Verdict(all(value.estimate == 0 for value in found.values()), found)


def zeroed_post_stays_near_chance(results: Runs) -> Verdict:
    """With gradients zeroed the post's loop ends with its loss near ln 2 in every run, in both readings."""
    words = [(reading, "zeroed=true", "change=as_it_is") for reading in READINGS]
    found = {w[0]: entry(results, "forum/answers/changes", "ends_near", *w) for w in words}
    return Verdict(all(value.estimate == value.n for value in found.values()), found)


def post_is_a_coin(results: Runs) -> Verdict:
    """Never zeroed, one half lies in the interval of the share solved, in both readings."""
    found = {
        r: entry(results, "forum/answers/loops", "solved", r, "zeroed=false") for r in READINGS
    }
    return Verdict(
        all(bound(value.low) < 0.5 < bound(value.high) for value in found.values()), found
    )


def time_rescues_the_zeroed_loop(results: Runs) -> Verdict:
    """Ten times the epochs, gradients zeroed: more runs are solved in both readings (corrected test)."""
    words = [(reading, "zeroed=true", "change=5,000_epochs") for reading in READINGS]
    found = {w[0]: entry(results, "forum/answers/changes", "solved_gain", *w) for w in words}
    p = [entry(results, "forum/answers/changes", "solved_p", *w).estimate for w in words]
    return Verdict(all(bound(value.low) > 0 for value in found.values()) and max(p) < LEVEL, found)


def other_optimizers_rescue(results: Runs) -> Verdict:
    """Adam and RMSprop at the rate 0.01, gradients zeroed: more than 0.85 are solved in both readings."""
    changes = ("adam_rate_0.01", "rmsprop_rate_0.01")
    words = [
        (reading, "zeroed=true", f"change={change}") for reading in READINGS for change in changes
    ]
    found = {" ".join(w): entry(results, "forum/answers/changes", "solved", *w) for w in words}
    return Verdict(all(bound(value.low) > 0.85 for value in found.values()), found)


def zeroing_helps_on_average(results: Runs) -> Verdict:
    """The main effect of zeroing in the factorial, within the post's epochs, is above zero, interval and all."""
    words = ("epochs=500", "term=gradient=zeroed")
    found = {"zeroing": entry(results, "forum_factorial/answers/effects", "log_odds_ratio", *words)}
    return Verdict(all(bound(value.low) > 0 for value in found.values()), found)


def another_cell_rescues(results: Runs) -> Verdict:
    """The tanh network in the post's loop is solved more often than its LSTM, in every reading (corrected test)."""
    words = [
        (reading, f"zeroed={zeroed}", "change=tanh_rnn")
        for reading in READINGS
        for zeroed in ("true", "false")
    ]
    found = {" ".join(w): entry(results, "forum/answers/changes", "solved_gain", *w) for w in words}
    p = [entry(results, "forum/answers/changes", "solved_p", *w).estimate for w in words]
    return Verdict(all(bound(value.low) > 0 for value in found.values()) and max(p) < LEVEL, found)


def zeroing_works_with_adam_in_the_factorial(results: Runs) -> Verdict:
    """The interaction of zeroing with Adam is positive at both rates and both budgets, its interval above zero."""
    found = {
        f"{rate} {epochs}": entry(
            results,
            "forum_factorial/answers/effects",
            "log_odds_ratio",
            f"epochs={epochs}",
            f"term=gradient=zeroed_:_optimizer=Adam_{rate}",
        )
        for rate in ("0.01", "0.1")
        for epochs in (500, 5000)
    }
    return Verdict(all(bound(value.low) > 0 for value in found.values()), found)
