"""Segments of the index: build, open, search and merge, with FAISS and numpy."""
