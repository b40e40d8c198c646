"""Synthetic images: prompts, generators, classifiers, and the studies of Part I."""
