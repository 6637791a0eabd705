"""Read image files without changing a pixel. `registry` says which reader reads which file."""
