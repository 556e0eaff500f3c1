"""Where initial values came from, so that they need not be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from sparsenn.random import Stream


@final
@dataclass(frozen=True, slots=True)
class Origin:
    """What a weight's initial values were drawn from.

    Parameters
    ----------
    stream : Stream
        Of the draws, each at its position.
    full : bool
        Whether they were scaled as those of a weight with every position, of which the
        present connections are a part; otherwise by the connections of its pattern.
    """

    stream: Stream
    full: bool
