"""Identity, resolution and random streams of a run."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from study.model.cells import CELLS
from study.model.initialisations import INITIALISATIONS
from study.model.optimizers import resolve_settings
from study.runs.settings import Run, Sequences, cut_offsets, shapes_of, stream, weights_of

# A value other than the default for every setting, in a context where it applies.
OTHER = {
    "task": {"task": "reset"},
    "pattern": {"pattern": "110"},
    "length": {"length": 21},
    "test_length": {"test_length": 7},
    "noise": {"noise": 0.5},
    "noise_kind": {"noise_kind": "centred"},
    "cue": {"cue": False},
    "reset_rate": {"task": "reset", "reset_rate": 0.2},
    "start": {"start": "learned"},
    "batch_size": {"batch_size": 4},
    "data": {"data": "fixed"},
    "epoch_sequences": {"data": "fixed", "epoch_sequences": 16},
    "update_per": {"update_per": "epoch"},
    "cell": {"cell": "gru"},
    "hidden_size": {"hidden_size": 7},
    "layers": {"layers": 2},
    "init": {"init": "orthogonal"},
    "init_value": {"init": "forget_bias", "init_value": 2.0},
    "optimizer": {"optimizer": "sgd"},
    "lr": {"lr": 0.02},
    "momentum": {"optimizer": "momentum", "momentum": 0.5},
    "optimizer_settings": {"optimizer_settings": {"eps": 1e-6}},
    "clip_norm": {"clip_norm": 1.0},
    "accumulate": {"accumulate": True},
    "state": {"state": "across_batches"},
    "cut_every": {"cut_every": 5},
    "cut_offset": {"cut_every": 5, "cut_offset": "random"},
    "max_updates": {"max_updates": 999},
    "eval_every": {"eval_every": 10},
    "eval_sequences": {"eval_sequences": 32},
    "solved_evaluations": {"solved_evaluations": 2},
    "stop_when_solved": {"stop_when_solved": False},
    "final_sequences": {"final_sequences": 999},
    "long_sequences": {"long_sequences": 99},
    "engine": {"engine": "torch"},
    "device": {"device": "cuda"},
    "dtype": {"dtype": "float64"},
    "seed": {"seed": 1},
    "noise_seed": {"noise_seed": 1},
}


def test_every_setting_is_part_of_the_identity():
    others = OTHER.keys() | {"own"}  # which tests/test_own_settings.py varies
    assert others == set(Run.model_fields), "give the new setting another value above"
    ids = [Run().run_id, *(Run(**settings).run_id for settings in OTHER.values())]
    assert len(set(ids)) == len(ids)


def test_defaults_written_out_are_the_same_run():
    settings = {"cell": "gru", "optimizer": "nesterov", "init": "scaled", "data": "fixed"}
    run = Run(**settings)
    written_out = run.model_dump() | {"optimizer_settings": {}}
    assert Run(**written_out).run_id == run.run_id


@pytest.mark.parametrize(
    ("context", "key"),
    [
        ({}, "noise"),
        ({"optimizer": "momentum"}, "momentum"),
        ({"task": "reset"}, "reset_rate"),
        ({"init": "scaled"}, "init_value"),
    ],
)
def test_equal_numbers_are_one_value(context, key):
    """0.0 equals -0.0, and 1 equals 1.0, so neither the text of a number nor its type may count."""
    for values in ((0.0, -0.0, 0), (0, -0.0), (1, 1.0)):
        runs = [Run(**context, **{key: value}) for value in values]
        assert len({run.run_id for run in runs}) == 1
        assert len({repr(getattr(run, key)) for run in runs}) == 1


def test_equal_numbers_are_one_value_among_optimizer_settings():
    for one, other in (
        ({"betas": [0.0, 0.5]}, {"betas": [-0.0, 0.5]}),
        ({"eps": 1}, {"eps": 1.0}),
        ({"weight_decay": -0.0}, {}),
    ):
        assert Run(optimizer_settings=one).run_id == Run(optimizer_settings=other).run_id
    one, other = ({"optimizer_settings": {"eps": [eps, 0.001]}} for eps in (1, 1.0))
    assert Run(optimizer="Adafactor", **one).run_id == Run(optimizer="Adafactor", **other).run_id


def test_a_negative_zero_that_was_resolved_before_changes_no_identity():
    resolve_settings("momentum", -0.0, {})
    run = Run(optimizer="momentum", momentum=0.0)
    assert run.run_id == "52de0a9de338b0170e55"
    assert str(run.optimizer_settings["momentum"]) == "0.0"


@pytest.mark.parametrize(
    ("settings", "run_id"),
    [
        ({"engine": "torch"}, "0a28a2cf1032f79b99df"),
        ({}, "a80fcc57a297ae034b20"),
        ({"cell": "gru", "seed": 7}, "a2a8bc95bda44ef18404"),
        ({"optimizer": "nesterov", "momentum": 0.5}, "ecc50b89f16aff16d406"),
        ({"optimizer": "momentum", "momentum": 0.0}, "52de0a9de338b0170e55"),
        ({"task": "parity", "clip_norm": 1.0, "cut_every": 3}, "97a7fb8d741c591301d4"),
        (
            {"task": "parity", "clip_norm": 1.0, "cut_every": 3, "cut_offset": "fixed"},
            "97a7fb8d741c591301d4",
        ),
        ({"optimizer_settings": {"betas": [0, 0.999]}}, "4512fef3819059fe69d3"),
        ({"optimizer": "NAdam"}, "07928282c29532ba57dc"),
        (
            {"data": "fixed", "epoch_sequences": 16, "update_per": "epoch", "init": "forget_bias"},
            "ef805daad5275b094cb0",
        ),
    ],
    ids=str,
)
def test_identity_is_stable(settings, run_id):
    """Stored results are found by it: a change orphans them, so raise SCHEMA_VERSION too."""
    assert Run(**settings).run_id == run_id


def test_identities_under_other_seeds():
    run = Run(cell="gru")
    assert run.identities([0, 1, 5]) == [Run(cell="gru", seed=s).run_id for s in (0, 1, 5)]
    assert run.with_seed(5) == Run(cell="gru", seed=5)


def test_what_does_not_apply_is_none():
    run = Run(task="parity", optimizer="adam")
    assert (run.pattern, run.noise, run.cue, run.reset_rate, run.momentum, run.epoch_sequences) == (
        None,
    ) * 6
    assert Run().test_length == 20
    assert Run(optimizer="nesterov").momentum == 0.9
    assert Run(init="forget_bias").init_value == 1.0
    assert Run(update_per="epoch").epoch_sequences == 8


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "parity", "noise": 1.0},
        {"momentum": 0.9},
        {"cell": "gru", "init": "forget_bias"},
        {"init_value": 1.0},
        {"device": "mps", "dtype": "float64"},
        {"data": "fixed", "batch_size": 4, "epoch_sequences": 6},
        {"epoch_sequences": 16},
        {"state": "reset", "cut_every": 2},
        {"cut_every": 20},
        {"cut_offset": "fixed"},
        {"state": "reset", "cut_offset": "shifted"},
        {"cut_every": 1, "cut_offset": "shifted"},
        {"cut_every": 1, "cut_offset": "random"},
        {"cut_every": 2, "cut_offset": "other"},
        {"max_updates": 10},
        {"optimizer": "nesterov", "momentum": 0.0},
        {"hidden_size": True},
        {"lr": "0.1"},
        {"pattern": "012"},
        {"lr": float("nan")},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(settings):
    with pytest.raises(ValidationError):
        Run(**settings)


def test_fixed_cuts_are_those_of_a_run_without_a_cut_offset():
    assert Run(cut_every=1, cut_offset="fixed") == Run(cut_every=1)


def test_a_run_is_frozen():
    with pytest.raises(ValidationError):
        Run().lr = 1.0


# --- streams ------------------------------------------------------------------------------------


def test_the_kth_sequence_does_not_depend_on_how_many_are_drawn_at_a_time():
    one, many = (
        Sequences(Run(start="normal"), "training", 9),
        Sequences(Run(start="normal"), "training", 9),
    )
    singles = [one.draw(1) for _ in range(12)]
    starts = np.concatenate([one.draw_starts(1) for _ in range(12)])
    inputs, labels = many.draw(12)
    np.testing.assert_array_equal(np.concatenate([i for i, _ in singles]), inputs)
    np.testing.assert_array_equal(np.concatenate([label for _, label in singles]), labels)
    np.testing.assert_array_equal(starts, many.draw_starts(12))


def test_training_and_test_noise_are_not_shared():
    seen = [
        Sequences(Run(seed=seed), purpose, 9).draw(20)[0][:, 1:].ravel()
        for purpose in ("training", "evaluation", "final", "final, long")
        for seed in (0, 1)
    ]
    values = np.concatenate(seen)
    assert len(np.unique(values)) == len(values)


@pytest.mark.parametrize(
    "change", [{"cell": "gru"}, {"optimizer": "sgd"}, {"hidden_size": 3}, {"dtype": "float64"}]
)
def test_one_seed_gives_the_same_noise(change):
    a, b = (Sequences(Run(**settings), "training", 9).draw(5)[0] for settings in ({}, change))
    np.testing.assert_array_equal(a, b)


def test_louder_noise_is_the_same_noise_scaled():
    a, b = (Sequences(Run(noise=noise), "training", 9).draw(5)[0][:, 1:] for noise in (0.5, 1.0))
    np.testing.assert_allclose(2 * a, b, rtol=1e-15)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "sgd", "lr": 1.0},
        {"device": "cuda", "dtype": "float64"},
        {"length": 9, "noise": 0.0},
    ],
)
def test_one_seed_gives_the_same_initial_weights_per_cell_and_size(change):
    a, b = weights_of(Run()), weights_of(Run(**change))
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("change", [{"seed": 1}, {"hidden_size": 7}, {"cell": "gru"}])
def test_other_seeds_cells_and_sizes_have_other_weights(change):
    a, b = weights_of(Run()), weights_of(Run(**change))
    assert a["readout.bias"].tolist() != b["readout.bias"].tolist()


@pytest.mark.parametrize(
    "settings", [{}, {"layers": 2}, {"start": "learned", "layers": 2}, {"task": "cyclic"}]
)
@pytest.mark.parametrize("cell", CELLS)
def test_shapes_are_those_of_the_weights_in_their_order(cell, settings):
    run = Run(cell=cell, **settings)
    assert list(shapes_of(run).items()) == [
        (name, array.shape) for name, array in weights_of(run).items()
    ]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("init", INITIALISATIONS)
def test_readout_is_the_same_for_every_initialisation(cell, init):
    needs = INITIALISATIONS[init]
    if needs.gate not in (None, *CELLS[cell].gates) or (
        needs.recurrent and not CELLS[cell].recurrent
    ):
        with pytest.raises(ValidationError, match=f"needs a .* cell '{cell}' has none"):
            Run(cell=cell, init=init)
        return
    a, b = weights_of(Run(cell=cell)), weights_of(Run(cell=cell, init=init))
    np.testing.assert_array_equal(a["readout.weight"], b["readout.weight"])


def test_cut_offsets_are_0_or_half_of_cut_every_unless_random():
    assert cut_offsets(Run(cut_every=5), 3, 4).tolist() == [0] * 4
    assert cut_offsets(Run(cut_every=5, cut_offset="shifted"), 3, 4).tolist() == [2] * 4
    assert cut_offsets(Run(cut_every=1, cut_offset="fixed"), 0, 2).tolist() == [0] * 2


def test_random_cut_offsets_do_not_depend_on_how_many_are_asked_for_at_a_time():
    run = Run(cut_every=5, cut_offset="random")
    offsets = cut_offsets(run, 0, 3000)
    pieces, first = [], 0
    for count in (1, 2, 3, 4, 5, 0, 7, 978, 2000):
        pieces.append(cut_offsets(run, first, count))
        first += count
    np.testing.assert_array_equal(np.concatenate(pieces), offsets)
    assert offsets.dtype == np.int64
    assert cut_offsets(run.with_seed(1), 0, 3000).tolist() != offsets.tolist()
    counts = np.bincount(offsets)
    assert counts.size == 5
    assert chisquare(counts).pvalue > 0.001


def test_streams_are_stable():
    """Numbers of stored runs hang on these draws."""
    assert stream("training", 0).random(2).tolist() == [0.03401714420290691, 0.4393273599386768]


def test_balanced_noise_has_the_moments_of_noise_up_to_third_order():
    run = Run(data="balanced", batch_size=32, length=16, noise=0.8, noise_kind="uniform")
    inputs, labels = Sequences(run, "training", 16).draw(32)
    noise = (inputs[:, 1:, 0] - 0.4) / (0.8 / 12**0.5)
    assert np.allclose(noise.mean(0), 0)
    assert np.allclose(noise.T @ noise / 32, np.eye(15))
    assert np.allclose(np.einsum("na,nb,nc->abc", noise, noise, noise), 0)
    assert (inputs[:, 0] == 1).all()
    assert (labels[:, :3] == [1, 0, 1]).all()


@pytest.mark.parametrize("kind", ["centred", "gaussian"])
def test_balanced_noise_of_other_kinds_has_their_mean_and_standard_deviation(kind):
    run = Run(data="balanced", batch_size=16, length=8, noise=2.0, noise_kind=kind)
    noise = Sequences(run, "training", 8).draw(16)[0][:, 1:]
    assert np.allclose([noise.mean(), noise.std()], [0, 2 / 12**0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "parity"}, "needs task 'alternating'"),
        ({"start": "normal"}, "does not apply to start 'normal'"),
        ({"batch_size": 24}, "must be a power of 2"),
        ({"batch_size": 8}, "at least twice the length"),
        ({"update_per": "epoch"}, "a single batch"),
        ({"epoch_sequences": 32}, "does not apply to data 'balanced'"),
    ],
)
def test_balanced_data_need_a_task_without_other_random_numbers(change, message):
    with pytest.raises(ValueError, match=message):
        Run(**({"data": "balanced", "batch_size": 16, "length": 8} | change))


def test_a_noise_seed_changes_the_data_but_not_the_initial_weights():
    run, again = Run(seed=3), Run(seed=3, noise_seed=4)
    others = Run(seed=4), Run(seed=4, noise_seed=4)
    data = [Sequences(one, "training", 9).draw(2)[0].tobytes() for one in (run, again, *others)]
    assert len(set(data)) == 4
    assert all(np.array_equal(a, weights_of(again)[name]) for name, a in weights_of(run).items())
    assert run.run_id != again.run_id
