"""The executor of a process: slots, threads, who serves, the end of the process."""
