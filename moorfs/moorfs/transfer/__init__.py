"""Large files to and from the engine: many requests at once, little memory, and no waiting for one's own pool."""
