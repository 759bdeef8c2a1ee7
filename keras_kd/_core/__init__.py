"""What every floor of the package may use: addresses, messages, configs, registration."""
