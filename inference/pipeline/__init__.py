"""The hierarchical pipeline as a pure core: images in, probabilities, rules and a traced diagnosis out.

Imports no Django. ``hierarchy``, ``preprocess``, ``checkpoint``, ``saliency`` and ``runner`` work without
torch; only ``networks``, ``train``, ``export`` and the torch engine need it, and they import it when used.
"""
