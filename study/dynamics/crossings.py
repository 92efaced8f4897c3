"""Follow training to see when an eigenvalue leaves the unit circle, and at what angle.

The thesis is that a network learns a pattern by growing a resonance. Under the mean input, the
network has a fixed point. The eigenvalues meant here are those of the network's Jacobian at this
point. Training drives one of them outward, until it leaves the unit circle at the angle of one of
the pattern's harmonics. Then a cycle can form that carries the pattern. On short sequences the loss
may fall before that, since a damped oscillation suffices.

The fused engine (`study.engines.fused`) trains the run again, bit for bit as before. The network is
looked at before training and at every evaluation. Three moments are found:

    crossing   the first update after which an eigenvalue lies on or outside the unit circle
    leaving    the first update after which the loss is below SHARE times the loss of the plateau
    locking    the first update after the crossing or the leaving after which the network, under the
               mean input, gives the right labels on a cycle of the pattern's period

If one of them lies between two looks, the run is trained again from the first of the two, and the
network is looked at after every update. The same is done, until the crossing, if the spectral
radius moves so fast that it may have passed 1 in between, or if the loss has left its plateau.
After that, a large step can throw an eigenvalue out for a few updates. A network gets at most
MOST_CLOSE of these looks. Later, an eigenvalue that leaves the circle and returns between two looks
is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import numpy as np
import pandas as pd
from scipy.special import xlogy

from study.dynamics.network import Network
from study.dynamics.patterns import (
    POWER,
    angles,
    harmonics,
    matched,
    nearest_harmonic,
    right_labels,
)
from study.dynamics.tables import Row
from study.engines import fused
from study.runs import Run

SHARE = 0.9
SETTLING = 300  # steps under the mean input before Newton's method starts
CYCLING = 500  # steps under the mean input before the network must be on its cycle
FOUND = 1e-9  # largest residual of a fixed point
EVENTS = ("crossing", "leaving", "locking")
CURVE_SEEDS = 110  # spectra are stored for runs on noise with seeds below this number
MOST_CLOSE = 5000  # looks after every update, where no moment is known to lie between two looks
REACH = 5  # the radius may pass 1 if it would when it moved this many times as far as it did
MOST_KEPT = 60  # looks of a run whose spectra are stored: half the last, half spread evenly


@dataclass(frozen=True)
class Snapshot:
    """The state of a network in training, as seen after an update.

    The eigenvalues (D,) at the fixed point (D,) are NaN if no fixed point was found. `is_new` says
    that Newton's method did not reach the fixed point from that of the look before.
    """

    update: int
    loss: float
    fixed: np.ndarray
    eigenvalues: np.ndarray
    is_new: bool
    is_locked: bool

    @property
    def radius(self) -> float:
        """The spectral radius, which is the largest absolute value of the eigenvalues."""
        return float(np.abs(self.eigenvalues).max())

    @property
    def angle(self) -> float:
        """The angle, from 0 to π, of the eigenvalue with the largest absolute value."""
        return abs(float(np.angle(self.eigenvalues[np.abs(self.eigenvalues).argmax()])))


def watched(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs to follow: those of blocks with a name that begins with `resonance`."""
    named = [any(name.startswith("resonance") for name in names) for names in runs["blocks"]]
    return runs[np.array(named, bool)]


def mean_input(run: Run) -> float:
    """Return the mean of the run's noise, the constant input under which networks are seen."""
    return 0.5 * float(run.noise or 0) if run.noise_kind == "uniform" else 0.0


@lru_cache
def plateau(pattern: str, length: int) -> float:
    """Return the loss of the plateau, in nats per label.

    This is the lowest loss of a network whose answer is the same at all steps but step 0, where the
    cue tells the label.
    """
    share = float(right_labels(pattern, length)[1:].mean())
    return -(1 - 1 / length) * float(xlogy(share, share) + xlogy(1 - share, 1 - share))


def rows(network: Network) -> list[Row]:
    """Train the network's run again, and return its row of the table `crossings`.

    The columns `crossing`, `leaving` and `locking` hold updates, or None if the moment never came.
    `angle` is that of the crossing, in radians from 0 to π. `harmonic` is the number of the nearest
    harmonic of the pattern, and `miss` its distance in radians. `jump` is how far the spectral
    radius moved in the update of the crossing. `strongest` is the number of the harmonic to which
    the network responds most before training, weighted by the harmonic's size. `distance` is the
    least distance before training between an eigenvalue and e^(iω) over the pattern's harmonics ω,
    and `distance_at_leaving` the same at the leaving.
    `first_miss` is the distance from a harmonic of the outermost eigenvalue's angle before
    training. `first_step` is the length of the first update over the learning rate, for SGD alone.
    `lost` counts the looks at which the fixed point was a new one, and `unseen` the updates between
    the leaving and the crossing after which the network was not looked at.
    """
    run, pattern = network.run, network.run.pattern or ""
    looks, moments, jump, unseen = follow(run)
    first, crossing, leaving = looks[0], moments.get("crossing"), moments.get("leaving")
    harmonic, miss = nearest_harmonic(pattern, crossing.angle) if crossing else (None, math.nan)
    start = Network(run, fused.Training(run).weights())
    _, first_miss = nearest_harmonic(pattern, first.angle)
    row: Row = {
        "last_update": looks[-1].update,
        **{name: moments[name].update if name in moments else None for name in EVENTS},
        "angle": crossing.angle if crossing else math.nan,
        "harmonic": harmonic,
        "miss": miss,
        "jump": jump,
        "distance_at_leaving": distance(pattern, leaving.eigenvalues) if leaving else math.nan,
        "is_new_at_crossing": crossing.is_new if crossing else None,
        "first_radius": first.radius,
        "first_miss": first_miss,
        "strongest": strongest(start, first.fixed),
        "distance": distance(pattern, first.eigenvalues),
        "first_step": first_step(run),
        "lost": sum(look.is_new for look in looks),
        "unseen": unseen,
    }
    keeps = run.seed < CURVE_SEEDS and run.data == "fresh" and run.noise_seed is None
    spread = np.linspace(0, len(looks) - 1, MOST_KEPT // 2).astype(int)
    last = np.arange(max(0, len(looks) - MOST_KEPT // 2), len(looks))
    some = [looks[i] for i in np.union1d(spread, last)]
    spectra = np.array([look.eigenvalues for look in some]).astype(np.complex64)
    curves = {
        "curve_update": [look.update for look in some],
        "curve_loss": [look.loss for look in some],
        "curve_real": spectra.real.ravel().tolist(),
        "curve_imaginary": spectra.imag.ravel().tolist(),
    }
    return [row | {name: values if keeps else None for name, values in curves.items()}]


def follow(run: Run) -> tuple[list[Snapshot], dict[str, Snapshot], float, int]:
    """Train a run until all moments have been found, or until its updates are used up.

    Returns the looks at its evaluations, the first look of each moment by the moment's name, and
    the numbers `jump` and `unseen` of the table's row (see `rows`).
    """
    run = run.model_copy(update={"stop_when_solved": False})
    training, moments, jump = fused.Training(run), dict[str, Snapshot](), math.nan
    looks, before, close, unseen = list[Snapshot](), training.fork(), 0, 0
    for look in _looks(training, None, moments):
        new = _shown(run, look) - moments.keys()
        updates = look.update - looks[-1].update if looks else 0
        may_cross = "crossing" not in moments and looks and _may_cross(looks[-1], look, moments)
        if looks and (new or (may_cross and close + updates <= MOST_CLOSE)):
            close += 0 if new else updates
            last = looks[-1]
            for near in _looks(before, last, moments):
                shown = _shown(run, near) - moments.keys()
                if "crossing" in shown:
                    jump = near.radius - last.radius
                moments |= dict.fromkeys(shown, near)
                last = near
                if near.update >= look.update:
                    break
        elif may_cross and "leaving" in moments:
            unseen += updates - 1
        moments |= dict.fromkeys(new - moments.keys(), look)
        looks.append(look)
        if len(moments) == len(EVENTS):
            break
        before = training.fork()
    return looks, moments, jump, unseen


def _may_cross(last: Snapshot, look: Snapshot, moments: dict[str, Snapshot]) -> bool:
    """Return whether an eigenvalue may have left the circle and returned between two looks."""
    reach = max(last.radius, look.radius) + REACH * abs(look.radius - last.radius)
    return "leaving" in moments or reach >= 1


def _looks(
    training: fused.Training, last: Snapshot | None, moments: dict[str, Snapshot]
) -> Iterator[Snapshot]:
    """Train on, and yield a look at every evaluation; `last` is the look before.

    Whether the network is on its cycle is asked only after the crossing or the leaving, and before
    the locking.
    """
    for update, loss in fused.looks(training):
        network = Network(training.run, training.weights())
        fixed, eigenvalues, is_new = spectrum(network, last)
        look = Snapshot(update, loss, fixed, eigenvalues, is_new, False)
        seen = moments.keys() | _shown(training.run, look)
        if seen and "locking" not in seen:
            look = replace(look, is_locked=is_locked(network))
        yield look
        last = look


def _shown(run: Run, look: Snapshot) -> set[str]:
    """Return the names of the moments that have come by this look."""
    left = look.loss < SHARE * plateau(run.pattern or "", run.length)
    shown = zip(EVENTS, (look.radius >= 1, left, look.is_locked), strict=True)
    return {name for name, is_shown in shown if is_shown}


def spectrum(network: Network, last: Snapshot | None) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the fixed point (D,), its eigenvalues (D,), and whether the fixed point is a new one.

    Newton's method starts from the fixed point of the look before, and the eigenvalues are in the
    order of that look's. If this fails, or if there is no look before, Newton's method starts from
    the state to which the network settles under the mean input.
    """
    u, is_new = mean_input(network.run), bool(last and np.isnan(last.eigenvalues).any())
    start = last.fixed[None] if last else network.settled(_after_cue(network)[None], u, SETTLING)
    roots, residuals = network.roots(start, u, 1)
    if last and not residuals[0] < FOUND:
        start, is_new = network.settled(_after_cue(network)[None], u, SETTLING), True
        roots, residuals = network.roots(start, u, 1)
    if not residuals[0] < FOUND:
        return start[0], np.full(network.dimension, complex(math.nan)), is_new
    _, jacobians = network.derivatives(roots, u)
    eigenvalues = np.linalg.eigvals(jacobians[0]).astype(complex)
    if last and np.isfinite(last.eigenvalues).all():
        eigenvalues = matched(last.eigenvalues, eigenvalues)
    return roots[0], eigenvalues, is_new


def _after_cue(network: Network) -> np.ndarray:
    """Return the state (D,) after step 0, whose input is the cue or else the mean input."""
    return network.visited(np.array([1.0 if network.run.cue else mean_input(network.run)]))[0]


def is_locked(network: Network) -> bool:
    """Whether, under the mean input, the network ends on a cycle that gives the right labels."""
    pattern = network.run.pattern or ""
    period, steps = len(pattern), CYCLING + 2 * len(pattern)
    inputs = np.full(steps, mean_input(network.run))
    if network.run.cue:
        inputs[0] = 1.0
    states = network.visited(inputs)[CYCLING:]
    if not np.isfinite(states).all():
        return False
    returns = np.allclose(states[:period], states[period:], rtol=0, atol=1e-6)
    labels = network.logit_margin(states) > 0
    return returns and bool((labels == right_labels(pattern, steps)[CYCLING:]).all())


def strongest(network: Network, fixed: np.ndarray) -> int:
    """Return the number k of the harmonic at which |ŷ_k| |v·(I − e^(iω_k) J)⁻¹ δ₀| is largest.

    ŷ_k are the pattern's harmonics and ω_k their angles. J is the Jacobian at the fixed point, v
    the difference of the readout's rows, and δ₀ the state after step 0 minus the fixed point.
    """
    _, jacobians = network.derivatives(fixed[None], mean_input(network.run))
    delta, pattern = _after_cue(network) - fixed, network.run.pattern or ""
    turns = np.exp(1j * angles(len(pattern)))[:, None, None]
    answers = np.linalg.solve(np.eye(network.dimension) - turns * jacobians, delta[:, None])
    margins = network.logit_margin(answers[..., 0]) - network.logit_margin(np.zeros_like(delta))
    half = len(pattern) // 2 + 1  # the other harmonics are the conjugates of these
    return int((np.abs(harmonics(pattern)) * np.abs(margins))[:half].argmax())


def distance(pattern: str, eigenvalues: np.ndarray) -> float:
    """Return the least distance of eigenvalues (D,) from e^(iω) over the pattern's harmonics ω."""
    circle = np.exp(1j * angles(len(pattern)))[np.abs(harmonics(pattern)) > POWER]
    return float(np.abs(eigenvalues[:, None] - circle).min())


def first_step(run: Run) -> float:
    """Return the size of a run's first gradient, or NaN if the optimizer is not plain SGD."""
    if run.optimizer != "sgd":
        return math.nan
    training = fused.Training(run).fork()
    steps = fused.looks(training)
    weights = [_flat(training) for _ in islice(steps, 2)]
    return float(np.linalg.norm(weights[-1] - weights[0])) / run.lr


def _flat(training: fused.Training) -> np.ndarray:
    return np.concatenate([array.ravel() for array in training.weights().values()]).astype(float)
