"""Sources of images. `registry` opens any source; `contract` says what all sources can do."""
