"""The screens for Phoebus, made from the contract; ``python tests/make_screens.py`` writes them."""
