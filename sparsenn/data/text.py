"""Text as tokens, and windows of it to learn from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

from sparsenn.data.dataset import Dataset
from sparsenn.data.errors import DataError
from sparsenn.data.named import TEXTS, folder_of
from sparsenn.data.streams import open_data, reading
from sparsenn.data.tokens import Tokens
from sparsenn.random import Stream

__all__ = ["Text", "blocks", "load_text", "windows"]

_Numbers: TypeAlias = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Text:
    """A text by characters, in three parts that follow one another.

    Attributes
    ----------
    name : str
        Name or path that it came from.
    train, val, test : ndarray of int64
        Numbers of the characters.
    vocabulary : tuple of str
        The characters of the whole text, sorted: their number is their place.
    """

    name: str
    train: _Numbers
    val: _Numbers
    test: _Numbers
    vocabulary: tuple[str, ...]

    def encode(self, text: str) -> _Numbers:
        """Numbers of the characters of a text.

        Raises
        ------
        ValueError
            If one is not in the vocabulary.
        """
        numbers = {character: i for i, character in enumerate(self.vocabulary)}
        unknown = sorted(set(text) - numbers.keys())
        if unknown:
            raise ValueError(f"{self.name} has no character {unknown[0]!r}")
        return np.array([numbers[character] for character in text], np.int64)

    def decode(self, tokens: npt.ArrayLike) -> str:
        """The text of numbers, of any shape."""
        return "".join(self.vocabulary[i] for i in np.asarray(tokens).reshape(-1))

    def dataset(
        self, context: int = 128, vocabulary: Sequence[str] | None = None
    ) -> Dataset:
        """Windows that follow one another as samples, for :func:`sparsenn.train.fit`.

        Parameters
        ----------
        context : int
            Tokens of a window.
        vocabulary : sequence of str, optional
            Of a model trained before, in its order; by default that of this text.

        Returns
        -------
        Dataset
            Of the training part, and of the test part to be measured on: tokens
            (samples, context), and as labels those that follow them. Classes are the
            characters.

        Raises
        ------
        DataError
            If a part is too short for a window, or has another character.
        """
        known = self.vocabulary if vocabulary is None else tuple(vocabulary)
        number = {character: i for i, character in enumerate(known)}
        unknown = sorted(set(self.vocabulary) - number.keys())
        if unknown:
            raise DataError(
                f"{self.name}: has the character {unknown[0]!r}, which is not one of "
                f"the {len(known)} that the model knows"
            )
        numbers = np.array([number[character] for character in self.vocabulary])

        def windows_of(part: str, tokens: _Numbers) -> tuple[Tokens, _Numbers]:
            if not 0 < context < len(tokens):
                raise DataError(
                    f"{self.name}: context is {context}, it must lie in "
                    f"1..{len(tokens) - 1}: the {part} part has {len(tokens)} of its "
                    "characters"
                )
            x, y = next(blocks(numbers[tokens], context, len(tokens)))
            return Tokens(x), y

        train = windows_of("training", self.train)
        test = windows_of("test", self.test)
        return Dataset(self.name, *train, *test, len(known), known).validate()

    def __repr__(self) -> str:
        sizes = f"{len(self.train):,} + {len(self.val):,} + {len(self.test):,}"
        return f"<Text {self.name}: {sizes} of {len(self.vocabulary)} characters>"


def windows(
    tokens: _Numbers, context: int, n: int, stream: Stream
) -> tuple[_Numbers, _Numbers]:
    """Random windows and, for each token, the one that follows.

    Parameters
    ----------
    tokens : ndarray of int, shape (length,)
    context : int
        Tokens of a window; fewer than there are.
    n : int
        Windows, drawn with replacement.
    stream : Stream
        Draws where they begin: another step, other windows.

    Returns
    -------
    x, y : ndarray of int64, shape (n, context)
    """
    starts = len(tokens) - context
    _check(tokens, context)
    begin = (stream.uniform(n, np.float64) * starts).astype(np.int64)
    at = begin[:, None] + np.arange(context)
    return tokens[at], tokens[at + 1]


def blocks(
    tokens: _Numbers, context: int, n: int = 64
) -> Iterator[tuple[_Numbers, _Numbers]]:
    """Windows that follow one another, n at a time, each token predicted once.

    The last tokens, too few for a window, are left out.

    Parameters
    ----------
    tokens : ndarray of int, shape (length,)
    context : int
    n : int

    Yields
    ------
    x, y : ndarray of int64, shape (at most n, context)
    """
    _check(tokens, context)
    count = (len(tokens) - 1) // context
    x = tokens[: count * context].reshape(count, context)
    y = tokens[1 : count * context + 1].reshape(count, context)
    for i in range(0, count, n):
        yield x[i : i + n], y[i : i + n]


def _check(tokens: _Numbers, context: int) -> None:
    if not 0 < context < len(tokens):
        raise ValueError(
            f"context is {context}, it must lie in 1..{len(tokens) - 1}: there are "
            f"{len(tokens)} tokens"
        )


def load_text(
    text: str | os.PathLike[str],
    *,
    val_fraction: float = 0.05,
    test_fraction: float = 0.05,
) -> Text:
    """Read a text by name or path.

    Parameters
    ----------
    text : str or path-like
        `tinyshakespeare`, found in `$SPARSENN_DATA` (it cannot be downloaded), or a
        file in UTF-8, which may be compressed by gzip. A name goes before a path.
    val_fraction, test_fraction : float
        Shares of the characters, at the end of the text: first of the validation
        part, then of the test part.

    Returns
    -------
    Text

    Raises
    ------
    DataError
        If it is missing, damaged, not UTF-8 or empty.
    """
    if not (
        val_fraction >= 0 and test_fraction >= 0 and val_fraction + test_fraction < 1
    ):
        raise ValueError(
            f"val_fraction and test_fraction must not be negative and sum to less than "
            f"1, got {val_fraction} and {test_fraction}"
        )
    path = Path(os.path.expanduser(text))
    if isinstance(text, str) and text in TEXTS:
        path = folder_of(text, TEXTS[text]) / next(iter(TEXTS[text].files))
    with reading(path):
        try:
            with open_data(path) as file:
                characters = file.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: is not UTF-8 text ({error.reason})") from error
    if not characters:
        raise DataError(f"{path}: is empty")
    # Code points as an array: a million characters in a few milliseconds.
    codes = np.frombuffer(characters.encode("utf-32-le"), "<u4")
    known, tokens = np.unique(codes, return_inverse=True)
    tokens = tokens.astype(np.int64)
    n = len(tokens)
    first = n - round(n * test_fraction) - round(n * val_fraction)
    second = n - round(n * test_fraction)
    return Text(
        os.fspath(text),
        tokens[:first],
        tokens[first:second],
        tokens[second:],
        tuple(map(chr, known)),
    )
