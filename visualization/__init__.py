"""Pictures of puzzles, motion, sound and mistakes."""
