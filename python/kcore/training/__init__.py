"""Training: data in, batches through, callbacks along the way."""
