"""What all other rooms use: errors, files, shared settings, the machine, processes."""
