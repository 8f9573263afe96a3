"""What tasks are built of: inputs, sampling, guards, heads, losses, pictures."""
