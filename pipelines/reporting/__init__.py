"""What a run found, as JSON, figures and one self-contained page."""
