"""Input files in, checked passages and rejects out."""
