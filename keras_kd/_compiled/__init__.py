"""What `compile` and `fit` are given: whose it is, and whether it can be right."""
