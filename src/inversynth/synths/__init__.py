"""The tables of the synths, one module each; the only home of parameter ranges."""
