/* The real type of a file that is compiled once per type (SNN_REAL_F32 or SNN_REAL_F64). */
#ifndef SNN_REAL_H
#define SNN_REAL_H

#include <stdint.h>

#include "sparsenn.h"

#if defined(SNN_REAL_F32)
typedef float real;
typedef int32_t real_int; /* as wide as real */
#define SNN_REAL(name) name##_f32
#elif defined(SNN_REAL_F64)
typedef double real;
typedef int64_t real_int;
#define SNN_REAL(name) name##_f64
#else
#error "define SNN_REAL_F32 or SNN_REAL_F64"
#endif

#endif
