# Patterns: the Layout class and scalar work on CSR.


cdef class Layout:
    """Storage order of a pattern: one CSR per block of columns."""

    cdef snn_layout c
    cdef readonly tuple shape
    cdef readonly int block_width, n_blocks, index_bytes, nnz
    cdef readonly object indptr, columns

    def __init__(self, shape, int block_width, indptr, columns):
        cdef int32_t[::1] rows = indptr
        self.shape = (int(shape[0]), int(shape[1]))
        self.block_width = block_width
        self.n_blocks = -(-self.shape[1] // block_width)
        self.index_bytes = columns.dtype.itemsize
        self.nnz = columns.shape[0]
        self.indptr = indptr
        self.columns = columns
        self.c.n_rows = self.shape[0]
        self.c.n_cols = self.shape[1]
        self.c.block_width = block_width
        self.c.n_blocks = self.n_blocks
        self.c.index_bytes = self.index_bytes
        self.c.nnz = self.nnz
        self.c.indptr = &rows[0]
        self.c.columns = cnp.PyArray_DATA(columns)
