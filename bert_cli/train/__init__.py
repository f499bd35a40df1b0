"""The loop, its optimizer and schedule, scoring and checkpoints."""
