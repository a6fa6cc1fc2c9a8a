"""Audio to the probabilities of each parameter's levels."""
