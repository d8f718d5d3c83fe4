"""A bed in which operators die at a chosen call, and fresh ones must bring the world to the same end."""
