"""Pages that show a run: figures, the report, the explorer."""
