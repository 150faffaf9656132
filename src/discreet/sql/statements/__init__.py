"""What an engine is asked: relations that keep people apart, bounded, as statements in its dialect."""
