# cython: language_level=3
"""Compiled core of sparsenn: argument checks around one C call each."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uintptr_t
cimport cython
from snn cimport *

import numpy as np
cimport numpy as cnp

cnp.import_array()

include "layout.pxi"
include "structure.pxi"
include "random.pxi"
include "virtual.pxi"
include "products.pxi"
include "conv.pxi"
include "sparse_input.pxi"
include "events.pxi"
include "tokens.pxi"
include "channels.pxi"
