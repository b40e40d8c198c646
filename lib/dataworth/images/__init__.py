"""Images, real and synthetic: prompts, generators, classifiers, CLIP, and shifted sets."""
