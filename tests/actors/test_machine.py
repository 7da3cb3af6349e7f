"""What is told of a processor, by what the kernel says of it."""

import pytest

from actors import machine

_XEON = "GenuineIntel", "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"
_ZEN3, _ZEN4 = ("AuthenticAMD", "AMD EPYC 7B13"), ("AuthenticAMD", "AMD EPYC 9B14")
_AVX512 = "avx2 avx512f avx512_vnni avx512_bf16"


@pytest.mark.parametrize(
    ("processor", "flags", "fast"),
    [
        (_XEON, _AVX512, (False, True)),
        (_XEON, f"{_AVX512} amx_bf16 amx_tile amx_int8", (True, True)),
        (_ZEN3, "avx2 fma", (False, False)),
        (_ZEN4, _AVX512, (True, True)),
    ],
    ids=["Xeon", "Xeon with AMX", "Zen 3", "Zen 4"],
)
def test_a_processor_is_known_by_what_it_multiplies_fast(processor, flags, fast, tmp_path, monkeypatch):
    vendor, name = processor
    told = f"vendor_id\t: {vendor}\nmodel\t\t: 17\nmodel name\t: {name}\nflags\t\t: fpu {flags}\n\n"
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{told}processor\t: 1\n{told}")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert machine.cpu_name() == name
    assert (machine.has_bf16(), machine.has_vnni()) == fast


def test_where_no_kernel_tells_nothing_is_presumed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert (machine.has_bf16(), machine.has_vnni()) == (False, False)
    assert machine.cpu_name(), "the architecture's name, for reports"
