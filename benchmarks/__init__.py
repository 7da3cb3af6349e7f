"""Measurements side by side: memory now, speed against peers later. Nothing here is imported by the product or its tests."""
