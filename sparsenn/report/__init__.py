"""Comparing finished runs: means and intervals over seeds, tables, pictures.

A run is a directory that `sparsenn train` or `sparsenn sweep` left behind. Runs whose
settings are equal but for the seed are one *group*.

Examples
--------
>>> runs = [read_run(path) for path in paths]  # doctest: +SKIP
>>> print(markdown(groups(runs)))  # doctest: +SKIP
"""

from __future__ import annotations

from sparsenn.report.groups import Group, groups, varying
from sparsenn.report.picture import compare, learning_curves
from sparsenn.report.run import ReportError, Run, read_run
from sparsenn.report.statistics import Estimate, estimate
from sparsenn.report.table import csv_text, markdown, rows, run_rows, table_cells

__all__ = [
    "Estimate",
    "Group",
    "ReportError",
    "Run",
    "compare",
    "csv_text",
    "estimate",
    "groups",
    "learning_curves",
    "markdown",
    "read_run",
    "rows",
    "run_rows",
    "table_cells",
    "varying",
]
