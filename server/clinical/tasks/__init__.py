"""One clinical task a file; each defines `TASK`."""
