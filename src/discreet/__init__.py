"""discreet: differential privacy from end to end."""
