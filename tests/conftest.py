"""Settings for every test."""

from hypothesis import settings

# Times on a shared machine say nothing about a test's subject.
settings.register_profile("dataworth", deadline=None)
settings.load_profile("dataworth")
