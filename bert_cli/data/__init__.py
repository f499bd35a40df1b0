"""Reading, tokenising, planning and batching."""
