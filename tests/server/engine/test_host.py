import pytest

from server.engine.host import free_bytes

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path):
    """Writes files below a root, and gives it."""

    def write(files: dict[str, str]):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


MEMINFO = {"proc/meminfo": f"MemTotal:  9999999 kB\nMemAvailable:   {4096 * 1024} kB\nHugePages_Total: 0\n"}


def version2(group: str, limit: str, used: int = 0, cache: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup{group}"
    return {
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.current": f"{used}\n",
        f"{base}/memory.stat": f"anon 1\ninactive_file {cache}\nactive_file {cache}\n",
    }


def version1(group: str, limit: int, used: int, cache: int) -> dict[str, str]:
    base = f"sys/fs/cgroup/memory{group}"
    return {
        f"{base}/memory.limit_in_bytes": f"{limit}\n",
        f"{base}/memory.usage_in_bytes": f"{used}\n",
        f"{base}/memory.stat": f"cache 1\ntotal_inactive_file {cache}\ntotal_active_file {cache}\n",
    }


def test_this_machine_says_something():
    assert free_bytes() > 100 * MIB


def test_without_limits_it_is_what_the_kernel_says(machine):
    assert free_bytes(machine(MEMINFO)) == 4096 * MIB


def test_where_nothing_is_told_nothing_is_known(tmp_path):
    assert free_bytes(tmp_path) is None


def test_a_container_of_version_2(machine):
    own = {"proc/self/cgroup": "0::/\n"}
    assert free_bytes(machine(MEMINFO | own | version2("", str(512 * MIB), 200 * MIB, 30 * MIB))) == 372 * MIB


def test_an_unlimited_group_of_version_2(machine):
    own = {"proc/self/cgroup": "0::/a\n"}
    assert free_bytes(machine(MEMINFO | own | version2("/a", "max"))) == 4096 * MIB


def test_the_nearest_of_all_groups_around(machine):
    own = {"proc/self/cgroup": "0::/infirmary.slice/infirmary.service\n"}
    inner = version2("/infirmary.slice/infirmary.service", str(2048 * MIB))
    outer = version2("/infirmary.slice", str(1024 * MIB), 24 * MIB)
    assert free_bytes(machine(MEMINFO | own | inner | outer)) == 1000 * MIB


def test_a_container_of_version_1_has_its_group_as_root(machine):
    own = {"proc/self/cgroup": "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n"}
    assert free_bytes(machine(MEMINFO | own | version1("", 512 * MIB, 200 * MIB, 30 * MIB))) == 372 * MIB


def test_a_group_of_version_1_on_its_host(machine):
    own = {"proc/self/cgroup": "4:memory:/a\n"}
    limits = version1("/a", 512 * MIB, 100 * MIB, 0) | version1("", 2**63 - 4096, 0, 0)
    assert free_bytes(machine(MEMINFO | own | limits)) == 412 * MIB


def test_more_than_the_kernel_has_is_no_help(machine):
    own = {"proc/self/cgroup": "0::/\n"}
    assert free_bytes(machine(MEMINFO | own | version2("", str(99_999 * MIB)))) == 4096 * MIB


@pytest.mark.parametrize("text", ["", "many\n", "-"])
def test_files_that_say_nothing_are_left_out(machine, text):
    files = (
        MEMINFO | {"proc/self/cgroup": "0::/\n"} | version2("", "1") | {"sys/fs/cgroup/memory.current": text}
    )
    assert free_bytes(machine(files)) == 4096 * MIB
