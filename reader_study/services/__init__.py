"""What may be done in a reader study. Each function is one deed, with its check and its record."""
