/* The kernels of this instruction set and real type, as one table. */
#include "kernels_decl.h"

extern const SNN_REAL(snn_kernels) KERNEL(table);

const SNN_REAL(snn_kernels) KERNEL(table) = {
    .lanes = LANES,
    .max_vectors = MAX_VECTORS,
    .pack = KERNEL(pack),
    .spmm = KERNEL(spmm),
    .sddmm = KERNEL(sddmm),
    .backward = KERNEL(backward),
    .spmv = KERNEL(spmv),
    .spmv_t = KERNEL(spmv_t),
    .outer = KERNEL(outer),
    .event_add = KERNEL(event_add),
    .event_backward = KERNEL(event_backward),
    .winners = KERNEL(winners),
    .transpose = KERNEL(transpose),
    .add_column = KERNEL(add_column),
    .dot_column = KERNEL(dot_column),
    .add_samples = KERNEL(add_samples),
    .activation_backward = KERNEL(activation_backward),
    .gelu = KERNEL(gelu),
    .gelu_backward = KERNEL(gelu_backward),
    .norm_moments = KERNEL(norm_moments),
    .norm_means = KERNEL(norm_means),
    .norm_apply = KERNEL(norm_apply),
    .norm_backward = KERNEL(norm_backward),
    .sgd = KERNEL(sgd),
    .recur = KERNEL(recur),
    .adam = KERNEL(adam),
    .above = KERNEL(above),
    .score = KERNEL(score),
    .bits = KERNEL(bits),
    .uniform = KERNEL(uniform),
    .normal = KERNEL(normal),
    .flow = KERNEL(flow),
};
