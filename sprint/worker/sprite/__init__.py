"""The worker `sprite`: an agent that works on a sprite while ticks come and go."""
