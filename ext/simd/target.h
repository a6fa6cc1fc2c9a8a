/* All that is compiled for one SIMD target. The file that includes this has defined what the target's variable is
 * called, SIMD_TARGET, and its vectors (see lanes.h); it ends with SIMD_END. */
#include "simd/dispatch.h"

extern const struct inversynth_simd SIMD_TARGET;

#include "dsp/convert.h"
#include "dsp/resample.h"
#include "engines/paper.h"
#include "engines/process.h"
#include "engines/score.h"
#include "engines/sine.h"
#include "nets/atoms_infer.h"

static const struct inversynth_engine *const engines[] = {&paper_engine, &sine_engine};

#define SIMD(name_, arithmetic_)                          \
    {                                                     \
        .name = name_,                                    \
        .lanes = LANES,                                   \
        .arithmetic = arithmetic_,                        \
        .engines = engines,                               \
        .engine_count = sizeof engines / sizeof *engines, \
        .process = process,                               \
        .measure = measure,                               \
        .score = score,                                   \
        .to_half = to_half,                               \
        .to_int16 = to_int16,                             \
        .resample = resample,                             \
        .atoms_infer = infer,                             \
    }
