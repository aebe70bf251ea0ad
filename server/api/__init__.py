"""HTTP and nothing else, one router a file."""
