"""Share a run with other programs and other people."""
