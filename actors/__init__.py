"""What runs on a worker: plain classes and functions, each usable without Ray."""
