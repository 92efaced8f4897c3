"""Imports that nobody asked for are left out, and nothing else is."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from study.imports import absent, standing_for


def test_a_module_is_absent_inside_and_back_afterwards():
    sys.modules.pop("this", None)
    finders = list(sys.meta_path)
    with absent("this"), pytest.raises(ModuleNotFoundError, match="this"):
        import this  # noqa: F401
    assert sys.meta_path == finders
    with absent("json"):
        import json
    assert json is sys.modules["json"]


def test_a_module_stands_for_another_inside_unless_that_is_there():
    import xml

    sys.modules.pop("xml.sax", None)
    vars(xml).pop("sax", None)
    other = ModuleType("another")
    with standing_for("xml.sax", other):
        import xml.sax

        assert xml.sax is other
    assert not hasattr(xml, "sax")
    import xml.sax

    with standing_for("xml.sax", other):
        assert sys.modules["xml.sax"] is xml.sax is not other
    assert sys.modules["xml.sax"] is xml.sax is not other


def test_torch_trains_without_its_compiler_which_can_still_be_had():
    code = """
import sys
import torch
from study.engines import torch_engine
from study.model.optimizers import OPTIMIZERS, _torch_classes
from study.runs.settings import Run

for name in [*OPTIMIZERS, *_torch_classes()]:
    torch_engine.train(Run(engine="torch", optimizer=name, max_updates=60, clip_norm=1.0))
Run(engine="torch", optimizer_settings={"weight_decay": 0.1})  # which torch is asked about
assert not {"torch._dynamo", "sympy"} & set(sys.modules)
assert not hasattr(torch.optim.Optimizer.zero_grad.__wrapped__, "__dynamo_disable")
double = torch.compile(lambda x: x + x, backend="eager")
assert double(torch.ones(2)).sum() == 4
torch_engine.train(Run(engine="torch", max_updates=60))
assert sys.modules["torch._dynamo"].__file__ == torch._dynamo.__file__
assert hasattr(torch.optim.Optimizer.zero_grad.__wrapped__, "__dynamo_disable")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_module_stands_for_another_in_a_thread():
    """Two threads took torch's compiler from each other, half imported."""
    sys.modules.pop("xml.sax", None)

    def imported() -> str:
        with standing_for("xml.sax", ModuleType("another")):
            import xml.sax
        return xml.sax.__name__

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(imported).result() == "xml.sax"


def test_a_module_that_another_thread_imports_meanwhile_stays():
    import xml

    sys.modules.pop("xml.sax", None)
    other, real = ModuleType("another"), ModuleType("xml.sax")
    with standing_for("xml.sax", other):
        sys.modules["xml.sax"] = xml.sax = real
    assert sys.modules.pop("xml.sax") is vars(xml).pop("sax") is real


def test_the_loop_is_loaded_without_scipys_linear_algebra_which_can_still_be_had():
    code = "import re, sys; from study.runs import Run; from study.engines import fused; "
    code += "fused.train(Run(max_updates=60)); assert not any(name.startswith('scipy.linalg') for name in sys.modules); "
    code += "import numpy as np; from numba import njit; assert njit(lambda a: a @ a)(np.eye(2)).sum() == 2"
    subprocess.run([sys.executable, "-c", code], check=True)
