"""Bytes at rest: objects, commit records, manifests, fingerprints and the schemas of every artifact."""
