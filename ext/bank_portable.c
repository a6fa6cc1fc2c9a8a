/* The kernel for what every processor has. */
#include "analysis.h"

#ifdef ARITHMETIC_PLAIN
const struct inversynth_path inversynth_portable = PATH("portable", "plain");
#else
const struct inversynth_path inversynth_portable = PATH("portable", "fma");
#endif
