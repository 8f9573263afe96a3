"""Published sets in their official layouts and splits."""
