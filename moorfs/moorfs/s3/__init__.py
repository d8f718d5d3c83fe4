"""One bucket of an S3 engine, spoken to over HTTP by the standard library alone."""
