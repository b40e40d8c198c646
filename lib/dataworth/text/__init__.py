"""Pretraining data of small language models: corpora, filters, models, downstream tasks."""
