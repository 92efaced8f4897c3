"""The registry of what is computed for a network: a table for each entry."""

from __future__ import annotations

from study.dynamics import cycles, existence, interventions, learning, noise, probes, slips
from study.dynamics.network import Network
from study.dynamics.tables import Analysis, Row, Whole


def _cycles(network: Network) -> list[Row]:
    return [cycles.summary(network, u, cycles.find(network, u)) for u in cycles.INPUTS]


def _spectra(network: Network) -> list[Row]:
    return [cycles.spectrum(root) for root in cycles.find(network, cycles.reference_input(network))]


def _is_solved(row) -> bool:
    return row["status"] == "solved"


ANALYSES = {
    "cycles": Analysis(_cycles, ("cycles.py",)),
    "spectra": Analysis(_spectra, ("cycles.py",)),
    "exponents": Analysis(lambda network: [noise.exponents(network)], ("cycles.py", "noise.py")),
    "margins": Analysis(noise.margins, ("cycles.py", "noise.py"), _is_solved),
    "recovery": Analysis(noise.recovery, ("cycles.py", "noise.py"), _is_solved),
    "interventions": Analysis(interventions.rows, ("interventions.py",), _is_solved),
    "probes": Analysis(probes.rows, ("probes.py",)),
    "learning": Analysis(
        lambda network: [learning.watch(network)], ("cycles.py", "learning.py"), learning.is_watched
    ),
    "slips": Analysis(
        lambda network: [slips.count(network, slips.steps_of(network))], ("slips.py",)
    ),
}

# What is computed once for a results folder: from no run at all, or from all its rows.
WHOLE = {
    "hand_built": Whole(lambda frame: existence.built(), ("cycles.py", "slips.py", "existence.py")),
    "guessing": Whole(lambda frame: existence.guessing(), ("existence.py",)),
    "bound": Whole(existence.bound, ("existence.py",), reads_rows=True),
}
