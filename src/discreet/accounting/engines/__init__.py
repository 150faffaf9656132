"""Numerical engines that bracket a composition's privacy curve; loaded on first use, for they need numpy."""
