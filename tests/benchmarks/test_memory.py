"""When the measured memory is a failure."""

from benchmarks.memory import compare, complaint

SMALL = {"passages": 5183, "peak_mb": 2000, "index_mb": 10}


def test_memory_that_grows_only_by_the_index_is_no_failure():
    figures = compare(SMALL, {"passages": 51830, "peak_mb": 2290, "index_mb": 100})
    assert (figures["ratio"], figures["raw_ratio"]) == (1.1, 1.145) and complaint(figures) == ""


def test_memory_that_grows_beyond_the_index_is_told_with_the_figures():
    figures = compare(SMALL, {"passages": 51830, "peak_mb": 2300, "index_mb": 100})
    assert complaint(figures).startswith("51,830 passages took 1.105 times the peak memory of 5,183, the growth of the index left out")
