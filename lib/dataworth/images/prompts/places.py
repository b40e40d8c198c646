"""Prompts that also name a background: `c, d_c inside b` and `c, h_c inside b`.

Sariyildiz et al. 2023 take b from the categories of a scene data set; the list here is our own,
of everyday scenes indoors and outdoors. Where the text encoder truncates a long definition, the
place is what it loses.
"""

from __future__ import annotations

import numpy as np

from dataworth.images.prompts.descriptions import description, hypernyms

_TAG = 32

PLACES = (
    *("airport", "alley", "aquarium", "art gallery", "attic", "bakery", "balcony", "bamboo forest"),
    *("barn", "basement", "bathroom", "beach", "bedroom", "bookstore", "bridge", "bus station"),
    *("cabin", "café", "campsite", "canal", "canyon", "castle", "cave", "church", "classroom"),
    *("cliff", "construction site", "corridor", "courtyard", "desert", "dining room", "dock"),
    *("factory", "farm", "field", "fire station", "forest", "fountain", "garage", "garden"),
    *("glacier", "greenhouse", "gymnasium", "harbor", "hayfield", "hospital", "hotel room"),
    *("ice rink", "island", "jungle", "kitchen", "laboratory", "lake", "laundry", "library"),
    *("lighthouse", "living room", "market", "marsh", "meadow", "mountain", "museum", "nursery"),
    *(
        "ocean",
        "office",
        "orchard",
        "palace",
        "park",
        "parking lot",
        "pasture",
        "pier",
        "playground",
    ),
    *("pond", "porch", "railway station", "restaurant", "river", "rooftop", "ruins", "sandbox"),
    *("shop", "shore", "ski slope", "snowfield", "square", "stable", "stadium", "staircase"),
    *("street", "studio", "suburb", "supermarket", "swimming pool", "temple", "theater", "tower"),
    *("train", "tunnel", "valley", "village", "vineyard", "warehouse", "waterfall", "workshop"),
    *("yard", "zoo"),
)


def description_places(name: str, seed: int, card: str) -> str:
    """`c, d_c inside b`, with the place b drawn by the seed."""
    return f"{description(name, seed, card)} inside {_place(seed)}"


def hypernyms_places(name: str, seed: int, card: str) -> str:
    """`c, h_c inside b`, with the place b drawn by the seed."""
    return f"{hypernyms(name, seed, card)} inside {_place(seed)}"


def _place(seed: int) -> str:
    return PLACES[np.random.default_rng([seed, _TAG]).integers(len(PLACES))]


SETS = {"description-places": description_places, "hypernyms-places": hypernyms_places}
