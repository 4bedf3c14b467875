"""Real frameworks on Tricorn: one small application for each, the same features asked of all."""
