"""`python -m pipelines`: the same as the console command `raytrieve`."""

from pipelines.cli import main

main()
