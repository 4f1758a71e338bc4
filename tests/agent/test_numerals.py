"""Numbers written out, and machines by the names they are sold under."""

import pytest

from agent.understand import understand
from agent.understand.numerals import in_digits
from knowledge import catalogue


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("two hundred and fifty users", "250 users"),
        ("twelve hundred tokens", "1200 tokens"),
        ("half a dozen L40S, a dozen H200s, two dozen H100", "6 L40S, 12 H200s, 24 H100"),
        ("ten million tokens", "10000000 tokens"),
        ("dreißig Nutzer, fünfundzwanzig, zweihundertfünfzig", "30 Nutzer, 25, 250"),
        ("une centaine de requêtes, quatre vingt", "100 de requêtes, 80"),
        ("doce usuarios, cuatro nodos", "12 usuarios, 4 nodos"),
        ("на двух серверах по восемь", "на 2 серверах по 8"),
        ("十六张H800，二十四台，1万并发", "16张H800，24台，10000并发"),
        ("여덟 장, 두 대", "8 장, 2 대"),
    ],
)
def test_numbers_in_words_become_digits(text: str, plain: str) -> None:
    assert in_digits(text) == plain


@pytest.mark.parametrize(
    "text", ["a few hundred users", "one of them", "the first token", "two thirds of the prompt", "第一个token", "每个"]
)
def test_words_that_do_not_count_stay(text: str) -> None:
    assert in_digits(text) == text


@pytest.mark.parametrize(
    ("machine", "gpu", "hosts", "per_host"),
    [
        ("a p5.48xlarge", "h100-sxm", 1, 8),
        ("two p5en.48xlarge instances", "h200-sxm", 2, 8),
        ("four a3-highgpu-8g machines", "h100-sxm", 4, 8),
        ("Standard_ND96isr_MI300X_v5, one of them", "mi300x", 1, 8),
        ("g6e.12xlarge", "l40s", 1, 4),
        ("a pair of HGX H200 boxes", "h200-sxm", 2, 8),
        ("2 x DGX H100", "h100-sxm", 2, 8),
        ("a half DGX H100", "h100-sxm", 1, 4),
    ],
)
def test_a_machine_is_known_by_the_name_it_is_sold_under(machine: str, gpu: str, hosts: int, per_host: int) -> None:
    found = understand(f"Llama 3.3 70B, {machine}, 20 users")

    assert found.request is not None, found.question
    cluster = found.request.cluster
    assert (cluster.gpu, cluster.hosts, cluster.gpus_per_host) == (gpu, hosts, per_host)


def test_every_machine_has_a_gpu_of_the_catalogue() -> None:
    assert {one.gpu for one in catalogue.instances()} <= set(catalogue.gpus())
