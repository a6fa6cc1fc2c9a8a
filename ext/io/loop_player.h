/* Sounds that a device plays again and again, for measurements: nothing of the player can be late. */
#ifndef INVERSYNTH_LOOP_PLAYER_H
#define INVERSYNTH_LOOP_PLAYER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* samples: `count` sounds one after another, the end of each in ends. Sound turn % count is played, from its beginning
 * whenever the turn is another one; any thread may set it. */
struct inversynth_loop_player {
    const float *samples;
    const int64_t *ends;
    int64_t count;
    atomic_llong turn;
    int64_t turned, at; /* of the callback alone */
};

/* A PaStreamCallback of PortAudio (portaudio.h), of an output of one channel, with the player as its user data. */
int inversynth_loop_player_callback(const void *in, void *out, unsigned long samples, const void *times,
                                    unsigned long flags, void *player);

#endif
