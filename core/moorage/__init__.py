"""The domain of Moorage: pure values and functions, no I/O (import-linter proves it)."""
