"""Scores on test splits, beside baselines, and the release check."""
