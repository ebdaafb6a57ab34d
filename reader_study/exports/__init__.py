"""Files that leave the house: tables and readings in the formats that people's tools read. Pure functions to bytes.

Everything is made from one frozen set of inputs and its result, so a file is one snapshot, and the same snapshot gives
the same bytes.
"""
