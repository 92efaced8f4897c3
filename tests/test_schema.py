"""Rows as Arrow holds them, in processes that have no use for pandas."""

import subprocess
import sys

CODE = """
import sys
from study.runs.schema import batch_of, leave_pandas_out

leave_pandas_out()
rows = batch_of([{"run_id": "a", "status": "solved"}])
assert "pandas" not in sys.modules
assert list(rows.to_pandas()["run_id"]) == ["a"]

import numpy as np
import pandas as pd
import pyarrow as pa

assert pa.array(pd.Series([1.0, np.nan])).null_count == 1, "Arrow knows pandas now"
"""


def test_rows_are_made_without_pandas_and_frames_all_the_same():
    subprocess.run([sys.executable, "-c", CODE], check=True)
