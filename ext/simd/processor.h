/* The processor that this is compiled for, and the widest vector of all. */
#ifndef INVERSYNTH_PROCESSOR_H
#define INVERSYNTH_PROCESSOR_H

/* Processors with SIMD targets of their own; with PLAIN, none, and no vectors either. */
#if (defined(__x86_64__) || defined(_M_X64)) && !defined(PLAIN)
#define X86_64
#elif (defined(__aarch64__) || defined(_M_ARM64)) && !defined(PLAIN)
#define ARM_64
#endif

enum { MAX_LANES = 16 };

#endif
