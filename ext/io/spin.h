/* What keeps a processor from sleeping. */
#ifndef INVERSYNTH_SPIN_H
#define INVERSYNTH_SPIN_H

/* Never returns. Between its turns it leaves the processor to its other hardware thread. */
static inline void inversynth_spin(void)
{
    for (;;) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
        __builtin_ia32_pause();
#elif defined(__GNUC__) && defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

#endif
