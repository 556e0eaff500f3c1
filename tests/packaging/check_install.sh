#!/usr/bin/env bash
# `pip install .` with nothing but a compiler, OpenMP switched off, used from elsewhere.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q "$root" -Csetup-args=-Dopenmp=disabled
cd "$work"
venv/bin/python - <<'PY'
import sys

import numpy as np

import sparsenn as snn
from sparsenn import nn

extra = {"scipy", "matplotlib", "tqdm", "pooch", "cffi"} & set(sys.modules)
assert not extra, f"import sparsenn also imported {extra}"
layer = nn.Linear(100, 50, density=0.1, seed=0)
y = layer(np.ones((8, 100), np.float32))
y.sum().backward()
assert layer.weight.grad.shape == (500,)
assert snn.config.describe()["openmp"] is False
PY
venv/bin/sparsenn --help >/dev/null
echo "installed and usable without OpenMP"
