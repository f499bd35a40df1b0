"""Finding, building and grouping the parameters of encoders."""
