"""Images from anywhere, in one form."""
