/* The taps of a weight over an image. */
#ifndef SNN_CONV_TAPS_H
#define SNN_CONV_TAPS_H

#include "conv.h"

/* Rows: output channels. Offsets: from the place of an output in the image of x. */
int SNN_REAL(snn_forward_taps)(const snn_conv *c, const snn_layout *w, const real *values,
                               const image *x, taps *t);

/* Rows: (phase, channel of x), slots moved. Offsets: in an image of dy that has before[]
 * lines and pixels of margin, from the q of a row that are first in their phases. values
 * may be NULL. */
int SNN_REAL(snn_backward_taps)(const snn_conv *c, const snn_layout *w, const real *values,
                                const image *dy, const int64_t *before, int want_slots,
                                taps *t);

#endif
