"""What to do: the schema, the loader and the YAML files. Knows nothing of torch, Ray or storage."""
