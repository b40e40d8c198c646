"""The examples of the documentation run and say what they show."""

import doctest

import dataworth.fit


def test_example_of_the_package() -> None:
    result = doctest.testmod(dataworth.fit)
    assert result.attempted >= 5
    assert result.failed == 0
