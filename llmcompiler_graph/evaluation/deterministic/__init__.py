"""What can be measured without a model, one a file."""
