"""One file for each verb of the `perception` command. None of them names a task."""
