/* Sounds that a device plays again and again. */
#include "io/loop_player.h"

int inversynth_loop_player_callback(const void *in, void *out, unsigned long samples, const void *times,
                                    unsigned long flags, void *user_data)
{
    struct inversynth_loop_player *player = user_data;
    const int64_t turn = atomic_load_explicit(&player->turn, memory_order_relaxed), sound = turn % player->count;
    const int64_t begin = sound ? player->ends[sound - 1] : 0;
    (void)in;
    (void)times;
    (void)flags;
    if (turn != player->turned)
        player->at = begin;
    player->turned = turn;
    for (unsigned long n = 0; n < samples; n++) {
        ((float *)out)[n] = player->samples[player->at];
        if (++player->at == player->ends[sound])
            player->at = begin;
    }
    return 0; /* paContinue */
}
