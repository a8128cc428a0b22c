"""Ways of answering a sample with tools, one a file: each makes a `System`."""
