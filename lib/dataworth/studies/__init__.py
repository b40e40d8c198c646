"""The studies behind the chapters: parameters, arms, a grid of runs, tidy results."""
