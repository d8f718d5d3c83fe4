"""`moor`: Moorage on the command line."""
