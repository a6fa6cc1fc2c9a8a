"""The paper's synth, with all that is its own."""
