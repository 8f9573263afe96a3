"""Random changes of whole batches, on their device: `draw_…` in a worker, `apply_…` there."""
