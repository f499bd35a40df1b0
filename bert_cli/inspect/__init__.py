"""What labelled data hold and what is probably wrong with them: pure functions over texts, answers and lengths."""
