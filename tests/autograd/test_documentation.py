"""The snippets of docs/autograd.md run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from sparsenn.autograd import gradcheck
from sparsenn.autograd.registry import REGISTRY

TEXT = (Path(__file__).parents[2] / "docs" / "autograd.md").read_text()


def test_snippets():
    names: dict = {}
    snippets = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(snippet, names)
    try:
        np.testing.assert_allclose(names["hv"].data, [6.0, 12.0])
        assert gradcheck(names["cube"], [np.array([0.5, 2.0])], order=3)
    finally:
        del REGISTRY["cube"]
