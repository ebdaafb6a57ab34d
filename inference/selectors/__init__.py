"""Reading the registry, runs and results; who may see what, and how many queries it takes."""
