"""Real S3 servers for the tests of the engines, on loopback, and what is asked of each of them."""
