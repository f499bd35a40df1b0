"""What differs between pretraining and each fine-tuning task."""
