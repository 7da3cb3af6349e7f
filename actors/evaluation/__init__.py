"""Rankings and judgements in, measures and intervals out."""
