"""The search with the renderer: scoring, refinement, baselines; it knows a space and scores, and no synth."""
