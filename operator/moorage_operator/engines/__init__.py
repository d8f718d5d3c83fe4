"""S3 engines: one protocol, a module per flavor, and `Engines`, which does what plans ask for."""
