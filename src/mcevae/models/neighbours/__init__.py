"""The model of preset `quick`: kept images, and what was found out about them by comparing."""
