"""One module per command: `arguments(parser)` declares its options, `run(args)` does it."""
