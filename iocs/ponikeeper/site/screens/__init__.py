"""The screens for Phoebus, made from the contract; ``python -m ponikeeper.site.screens.phoebus`` writes them."""
