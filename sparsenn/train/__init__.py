"""Training: the loop, what may happen beside it, and going on where it stopped."""

from __future__ import annotations

from sparsenn.train.boosting import Boosting
from sparsenn.train.callbacks import Callback, LambdaCallback, TerminateOnNaN
from sparsenn.train.checkpoint import (
    Checkpoint,
    CheckpointFile,
    ResumeError,
    load_checkpoint,
    save_checkpoint,
)
from sparsenn.train.evaluate import evaluate
from sparsenn.train.fit import NonFiniteLossError, fit
from sparsenn.train.history import History
from sparsenn.train.interrupt import InterruptBetweenSteps
from sparsenn.train.loggers import CSVLogger, JSONLogger
from sparsenn.train.progress import ProgressBar
from sparsenn.train.state import State
from sparsenn.train.stopping import EarlyStopping

__all__ = [
    "Boosting",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "CheckpointFile",
    "EarlyStopping",
    "History",
    "InterruptBetweenSteps",
    "JSONLogger",
    "LambdaCallback",
    "NonFiniteLossError",
    "ProgressBar",
    "ResumeError",
    "State",
    "TerminateOnNaN",
    "evaluate",
    "fit",
    "load_checkpoint",
    "save_checkpoint",
]
