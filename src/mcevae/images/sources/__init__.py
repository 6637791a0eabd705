"""Where images come from. `registry` opens any source; `contract` says what they share."""
