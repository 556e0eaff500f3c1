"""Reading data sets, scaling them and going through them in batches."""

from __future__ import annotations

from sparsenn.autograd.sequences import Sequences
from sparsenn.data.augment import Augmentation
from sparsenn.data.batches import batches
from sparsenn.data.csv import read_csv
from sparsenn.data.dataset import Dataset
from sparsenn.data.errors import DataError
from sparsenn.data.idx import read_idx, read_idx_directory
from sparsenn.data.labelfile import read_labels
from sparsenn.data.loading import is_text, load, names
from sparsenn.data.mat import read_mat
from sparsenn.data.npz import read_npz
from sparsenn.data.scaling import Scaling
from sparsenn.data.split import split_indices
from sparsenn.data.svmlight import read_svmlight
from sparsenn.data.text import Text, blocks, load_text, windows
from sparsenn.data.tokens import Tokens
from sparsenn.data.ts import read_ts

__all__ = [
    "Augmentation",
    "DataError",
    "Dataset",
    "Scaling",
    "Sequences",
    "Text",
    "Tokens",
    "batches",
    "blocks",
    "is_text",
    "load",
    "load_text",
    "names",
    "read_csv",
    "read_idx",
    "read_idx_directory",
    "read_labels",
    "read_mat",
    "read_npz",
    "read_svmlight",
    "read_ts",
    "split_indices",
    "windows",
]
