"""Web pages and figures that show a run: the report and the explorer."""
