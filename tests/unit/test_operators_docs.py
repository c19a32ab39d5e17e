"""The operators' pages: sums that add up, checks that exist, links that lead somewhere."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import botocore.loaders
import botocore.model
import pytest
from botocore import xform_name

from deploy import verify
from local.address import CHECKOUT
from slurm_gateway import metrics

if TYPE_CHECKING:
    from pathlib import Path

DOCS = CHECKOUT / "docs"
CENT = Decimal("0.01")


def tables(text: str) -> list[list[list[str]]]:
    """Give a page's tables: rows of cells, without the head."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]] for block in blocks
    ]


@pytest.mark.parametrize("table", tables((DOCS / "costs.md").read_text()), ids=lambda table: table[0][0])
def test_a_table_of_costs_adds_up(table: list[list[str]]) -> None:
    *rows, total = table
    for what, price, count, month in rows:
        assert (what, (Decimal(price) * Decimal(count)).quantize(CENT, ROUND_HALF_UP)) == (what, Decimal(month))
    assert f"**{sum(Decimal(row[3]) for row in rows)}**" == total[3]


def test_the_costs_count_the_alarms_and_metrics_that_there_are() -> None:
    from templates_under_test import of_type, translated

    text = (DOCS / "costs.md").read_text()
    alarms = of_type(translated(), "AWS::CloudWatch::Alarm")
    [counted] = re.findall(r"^\| Alarms \| 0.10 \| (\d+)", text, re.MULTILINE)

    assert int(counted) == len(alarms)
    [counted] = re.findall(r"^\| Metrics of our own, without reasons \| 0.30 \| (\d+)", text, re.MULTILINE)
    assert int(counted) == len(metrics.UNITS)


def test_every_check_on_aws_is_written_down_and_every_row_is_a_check() -> None:
    first = tables((DOCS / "verify-on-aws.md").read_text())[0]
    checks = [check.__name__.replace("_", "-") for check in (*verify.API_CHECKS, *verify.ACCOUNT_CHECKS)]

    assert [row[0].strip("`") for row in first] == checks


def test_the_checks_sign_for_the_region_in_the_apis_name() -> None:
    assert verify.region_of("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com") == "eu-west-1"
    assert verify.region_of("https://slurm.example.org") is None


@pytest.mark.parametrize("page", [*DOCS.glob("*.md"), CHECKOUT / "README.md"], ids=lambda page: page.name)
def test_every_link_to_a_page_or_section_leads_somewhere(page: object) -> None:
    from pathlib import Path

    assert isinstance(page, Path)
    for target, section in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        file = page if not target else page.parent / target
        assert file.exists(), target
        if section:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert section in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}, section


def test_every_make_target_of_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for page in (*DOCS.glob("*.md"), CHECKOUT / "README.md"):
        blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
        asked = set(re.findall(r"^(?:[A-Z]+=\S+ )?make ([a-z-]+)", blocks, re.MULTILINE))
        assert asked - targets == set(), page.name


def test_make_help_has_every_target() -> None:
    makefile = (CHECKOUT / "Makefile").read_text().replace("\\\n", " ")
    [targets] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == set(targets.split())


# ParallelCluster is no part of the tests' environment, unlike the AWS CLI's models.
PCLUSTER = {
    "create-cluster": {"--cluster-name", "--cluster-configuration"},
    "update-cluster": {"--cluster-name", "--cluster-configuration"},
    "delete-cluster": {"--cluster-name"},
    "describe-cluster": {"--cluster-name"},
    "update-compute-fleet": {"--cluster-name", "--status"},
}
PAGES = [*DOCS.glob("*.md"), CHECKOUT / "README.md", CHECKOUT / "headnode" / "README.md"]


def commands(text: str) -> list[str]:
    """Give the commands of aws and pcluster in a page's code. A mere name, without any option, is prose."""
    blocks = re.findall(r"^```sh\n(.*?)^```|^((?: {4}[^\n]*\n)+)", text, re.MULTILINE | re.DOTALL)
    code = "\n".join(part for block in blocks for part in block).replace("\\\n", " ")
    spans = [
        " ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    ]
    found = re.findall(
        r"\b((?:aws|pcluster) [a-z0-9].*?)(?=\$\(|\)\"|&&|\||$)", "\n".join([code, *spans]), re.MULTILINE
    )
    return [command for command in found if " --" in command]


def required(command: str) -> set[str]:
    """Give the options that a command cannot do without; raise KeyError for a command that there is not."""
    tool, first, second = command.split()[:3]
    if tool == "pcluster":
        return PCLUSTER[first]
    if first in {"s3", "configure"}:
        return set()
    loader = botocore.loaders.Loader()
    service = {"s3api": "s3"}.get(first, first)
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))
    operation = {xform_name(name, "-"): name for name in model.operation_names}[second]
    shape = model.operation_model(operation).input_shape
    return {f"--{xform_name(name, '-')}" for name in shape.required_members} if shape else set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.name}")
def test_a_command_of_the_pages_has_the_options_that_it_cannot_do_without(page: Path) -> None:
    for command in commands(page.read_text()):
        assert required(command) - set(command.split()) == set(), command


def test_the_commands_of_the_pages_are_found() -> None:
    found = {" ".join(command.split()[:3]) for page in PAGES for command in commands(page.read_text())}

    assert {
        "aws ssm put-parameter",
        "aws s3api delete-objects",
        "aws lambda update-event-source-mapping",
        "pcluster update-cluster --cluster-name",
        "pcluster describe-cluster --cluster-name",
    } <= found


def test_a_document_of_more_than_4_kb_can_be_written_by_the_pages_commands() -> None:
    puts = [command for page in PAGES for command in commands(page.read_text()) if " put-parameter " in command]

    assert len(puts) == 2
    assert [command for command in puts if "--tier Intelligent-Tiering" not in command] == []


def test_the_page_of_errors_has_the_words_that_there_are() -> None:
    """Words are found where a status stands before them; a few have theirs from a variable."""
    listed = {
        (status, word.strip(" `"))
        for status, words in tables((DOCS / "errors.md").read_text())[-1]
        for word in words.split(",")
    }
    source = "\n".join(module.read_text() for module in (CHECKOUT / "src/slurm_gateway").glob("*.py"))
    answers = re.sub(r"metrics\.answered\([^)]*\)", "", source)

    assert set(re.findall(r'\b([45]\d\d),\s*"([a-z]+(?:-[a-z]+)*)"', answers)) <= listed
    assert {word for _, word in listed if f'"{word}"' not in source} == set()


DEFAULTS = [
    *(
        (DOCS / "deploy.md", name, None)
        for name in re.findall(r"`([A-Z]\w+)` \([A-Z0-9]+", (DOCS / "deploy.md").read_text())
    ),
    (DOCS / "submit.md", "ScriptDays", r"to its owner, for (\d+) days"),
    (DOCS / "inbox.md", "InboxDays", r"in the bucket for (\d+) days"),
    (DOCS / "output.md", "OutputDays", r"of one job are kept, for (\d+) days"),
    (DOCS / "jobs.md", "JobRecordDays", r"record is kept for (\d+) days"),
]


@pytest.mark.parametrize(("page", "name", "words"), DEFAULTS, ids=[f"{page.name}-{name}" for page, name, _ in DEFAULTS])
def test_a_default_that_a_page_names_is_the_templates(page: Path, name: str, words: str | None) -> None:
    from templates_under_test import requirements, translated

    parameters = {**requirements()["Parameters"], **translated()["Parameters"]}
    [told] = re.findall(words or rf"`{name}` \((\w+)", " ".join(page.read_text().split()))

    assert told == str(parameters[name]["Default"])


def test_the_page_of_options_names_every_parameter_but_those_that_make_names_itself() -> None:
    from templates_under_test import requirements, translated

    page = (DOCS / "deploy.md").read_text()
    names = {*requirements()["Parameters"], *translated()["Parameters"]} - {"ApiStackName", "RequirementsStack"}
    # Of two subnets or zones the second may stand as `2`.
    assert {
        name for name in names if f"{name}" not in page and not re.search(rf"`{name[:-1]}1` and `2`", page)
    } == set()


def test_the_runbook_names_every_metric() -> None:
    page = (DOCS / "runbook.md").read_text().partition("\n## What is measured\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"`([A-Z][A-Za-z]+)`", page)) - {"Api", "Reason", "Step", "State"} == set(metrics.UNITS)
