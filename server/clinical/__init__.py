"""The task catalogue and how a task is answered. Adding a task is adding a file under `tasks/`."""
