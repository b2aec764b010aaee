"""Who runs a stage's tasks: its own process, or workers on this machine or others. It changes no result."""
