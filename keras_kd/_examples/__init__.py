"""Examples with ids, in batches: what data feeds and stores keep."""
