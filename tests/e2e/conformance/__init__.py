"""Running other people's test suites against the driver, and the page that tells what came out."""
