"""Imports that nobody asked for are left out, and nothing else is."""

import subprocess
import sys

import pytest

from study.imports import absent


def test_a_module_is_absent_inside_and_back_afterwards():
    sys.modules.pop("this", None)
    finders = list(sys.meta_path)
    with absent("this"), pytest.raises(ModuleNotFoundError, match="this"):
        import this  # noqa: F401
    assert sys.meta_path == finders
    with absent("json"):
        import json
    assert json is sys.modules["json"]


def test_the_loop_is_loaded_without_scipys_linear_algebra_which_can_still_be_had():
    code = "import re, sys; from study.runs import Run; from study.engines import fused; "
    code += (
        "fused.train(Run(max_updates=60)); assert not any(name.startswith('scipy.linalg') for name in sys.modules); "
    )
    code += "import numpy as np; from numba import njit; assert njit(lambda a: a @ a)(np.eye(2)).sum() == 2"
    subprocess.run([sys.executable, "-c", code], check=True)
