"""What a version knows of its passages, and how it is compared with the corpus as it is now. Hash tables, never texts."""
