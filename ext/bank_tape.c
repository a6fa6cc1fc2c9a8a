/* Sounds that a device plays again and again. */
#include "tape.h"

int inversynth_tape_callback(const void *in, void *out, unsigned long samples, const void *times, unsigned long flags,
                             void *user_data)
{
    struct inversynth_tape *tape = user_data;
    const int64_t turn = atomic_load_explicit(&tape->turn, memory_order_relaxed), sound = turn % tape->count;
    const int64_t begin = sound ? tape->ends[sound - 1] : 0;
    (void)in;
    (void)times;
    (void)flags;
    if (turn != tape->turned)
        tape->at = begin;
    tape->turned = turn;
    for (unsigned long n = 0; n < samples; n++) {
        ((float *)out)[n] = tape->samples[tape->at];
        if (++tape->at == tape->ends[sound])
            tape->at = begin;
    }
    return 0; /* paContinue */
}
