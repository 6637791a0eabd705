"""Learn from frames that show many things, without boxes: places, groups, and places again."""
