"""A script and options become a job description, as the release's sbatch would make it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from slurm_gateway import sbatch
from slurm_gateway.sbatch import api_versions, document, options
from slurm_gateway.sbatch.request import Request

OF_24_11 = ("v0.0.40", "v0.0.41", "v0.0.42")
OF_25_05 = ("v0.0.40", "v0.0.41", "v0.0.42", "v0.0.43")
OF_25_11 = ("v0.0.41", "v0.0.42", "v0.0.43", "v0.0.44")
OF_26_05 = ("v0.0.42", "v0.0.43", "v0.0.44", "v0.0.45")
NOW = datetime(2030, 6, 15, 10, 30, tzinfo=UTC)
# What every description holds that asks for nothing.
ALWAYS = {
    "name": "sbatch",
    "current_working_directory": "/home/alice",
    "standard_input": "/dev/null",
    "minimum_cpus": 1,
    "oom_kill_step": 0xFFFE,
}


def translate(
    *directives: str,
    request: tuple[tuple[str, Any], ...] = (),
    versions: tuple[str, ...] = OF_24_11,
    **of_submission: Any,
) -> sbatch.Translation:
    script = sbatch.read("\n".join(("#!/bin/sh", *(f"#SBATCH {each}" for each in directives), "true", "")).encode())
    submission = sbatch.Submission("/home/alice", clock=sbatch.Clock(NOW), **of_submission)
    return sbatch.translate(script, request, submission, api_versions_of_cluster=versions)


def described(*directives: str, **how: Any) -> dict[str, Any]:
    """Give what a job's description holds beyond ALWAYS, without script and environment."""
    job = translate(*directives, **how).jobs[0]
    return {
        name: value
        for name, value in job.items()
        if name not in ("script", "environment") and (name not in ALWAYS or ALWAYS[name] != value)
    }


def environment(*directives: str, job: int = 0, **how: Any) -> dict[str, str]:
    return dict(each.split("=", 1) for each in translate(*directives, **how).jobs[job]["environment"])


def number(value: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": value}


@pytest.mark.parametrize("release", list(sbatch.Release))
def test_each_option_of_a_release_is_carried_or_has_its_reason(release: sbatch.Release) -> None:
    for option in options.of_release(release).values():
        assert Counter([bool(option.fields), bool(option.refused), not option.fields and bool(option.says)])[True] == 1
        assert set(option.keeps) <= {field.name for field in dataclasses.fields(Request)}


@pytest.mark.parametrize("release", list(sbatch.Release))
def test_no_letter_stands_for_two_options(release: sbatch.Release) -> None:
    found = Counter(option.letter for option in options.of_release(release).values() if option.letter)

    assert {1} == set(found.values())


def test_the_documentation_is_current() -> None:
    path = Path(__file__).resolve().parents[2] / "docs/sbatch-options.md"

    assert document.document() == path.read_text(), f"run: python -m slurm_gateway.sbatch.document {path.name}"


def test_a_script_without_options_has_sbatchs_defaults() -> None:
    translation = translate()

    assert translation.api_version == "v0.0.42"
    assert translation.notices == ()
    assert {name: value for name, value in translation.jobs[0].items() if name != "environment"} == ALWAYS | {
        "script": "#!/bin/sh\ntrue\n"
    }
    assert {"job": translation.jobs[0]} == translation.body()


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("--time=1-0 --mem=2G", {"time_limit": number(1440), "memory_per_node": number(2048)}),
        ("-t UNLIMITED", {"time_limit": {"set": True, "infinite": True, "number": 0}}),
        ("-n 3 -c 2", {
            "tasks": 3, "cpus_per_task": 2, "minimum_cpus": 6, "minimum_cpus_per_node": 2, "tres_per_task": "cpu=2",
            "flags": ["EXACT_CPU_COUNT_REQUESTED", "EXACT_TASK_COUNT_REQUESTED"],
        }),
        ("-N 2", {"minimum_nodes": 2, "maximum_nodes": 2, "minimum_cpus": 2}),
        ("-N 1-3", {"minimum_nodes": 1, "maximum_nodes": 3}),
        ("-N 1,3", {"minimum_nodes": 1, "maximum_nodes": 3, "nodes": "1,3"}),
        ("-n 3 --ntasks-per-node=2", {
            "tasks": 3, "tasks_per_node": 2, "minimum_nodes": 2, "minimum_cpus": 3,
            "flags": ["EXACT_TASK_COUNT_REQUESTED"],
        }),
        ("-w n[1-2]", {"required_nodes": ["n[1-2]"], "minimum_nodes": 2, "minimum_cpus": 2}),
        ("-o a-%j -e /b -D sub", {
            "current_working_directory": "/home/alice/sub", "standard_output": "/home/alice/sub/a-%j",
            "standard_error": "/b",
        }),
        ("-o none", {"standard_output": "/dev/null"}),
        ("--gres=gpu:2,nic", {"tres_per_node": "gres/gpu:2,gres/nic"}),
        ("--gpus=2 --mem-per-gpu=1G --cpus-per-gpu=3", {
            "tres_per_job": "gres/gpu:2", "memory_per_tres": "gres/gpu:1024", "cpus_per_tres": "gres/gpu:3",
        }),
        ("-G 4 --gpus-per-task=2", {
            "tres_per_job": "gres/gpu:4", "tres_per_task": "gres/gpu=2", "tres_bind": "gres/gpu:per_task:2", "tasks": 2,
        }),
        ("--begin=now+1hour", {"begin_time": number(int(NOW.timestamp()) + 3600)}),
        ("--deadline=2030-06-16", {"deadline": 1907798400}),
        ("--exclusive", {"shared": ["none"]}),
        ("--exclusive=user", {"shared": ["user"]}),
        ("-s", {"shared": ["oversubscribe"]}),
        ("--no-requeue", {"requeue": False}),
        ("-k", {"kill_on_node_fail": False}),
        ("-H --priority=5", {"hold": True}),
        ("--priority=5 --nice=7", {"priority": number(5), "nice": 7}),
        ("--mail-type=END,TIME_LIMIT_80 --mail-user=a@b", {"mail_type": ["END", "TIME=80%"], "mail_user": "a@b"}),
        ("--signal=B:USR1@30", {
            "kill_warning_signal": "USR1", "kill_warning_delay": number(30), "kill_warning_flags": ["BATCH_JOB"],
        }),
        ("--switches=2@1:00", {"required_switches": number(2), "wait_for_switch": 60}),
        ("--mem-bind=verbose,map_mem:0,1", {"memory_binding": "0,1", "memory_binding_type": ["MAP", "VERBOSE"]}),
        ("--hint=nomultithread", {"threads_per_core": 1}),
        ("--spread-job --use-min-nodes", {"flags": ["PREFER_MINIMUM_NODE_COUNT", "SPREAD_JOB"]}),
        ("--account=a --part q1 -J'the name' -q high", {
            "account": "a", "partition": "q1", "name": "the name", "qos": "high",
        }),
        ("-S 2 ", {"core_specification": 2}),
        ("--thread-spec=3", {"thread_specification": 3}),
        ("--profile=task,energy", {"profile": ["ENERGY", "TASK"]}),
        ("-O -N 2", {"overcommit": True, "minimum_nodes": 2, "maximum_nodes": 2, "minimum_cpus": 2}),
    ],
)  # fmt: skip
def test_an_option_becomes_what_sbatch_would_send(directive: str, expected: dict[str, Any]) -> None:
    assert expected == described(directive)


def test_later_options_win_and_those_of_the_request_win_over_the_script() -> None:
    assert {"time_limit": number(3), "partition": "b", "comment": "kept"} == described(
        "--time=1 --partition=a", "-t 2 --comment=kept", request=(("time", "9"), ("t", "3"), ("partition", "b"))
    )


@pytest.mark.parametrize("value", [True, None, "", "yes", "true", 1, "2"])
def test_a_flag_of_the_request_is_set(value: object) -> None:
    assert described(request=(("hold", value),)) == {"hold": True}


@pytest.mark.parametrize("value", [False, "no", "false", "0", 0])
def test_a_flag_of_the_request_unsets_the_scripts(value: object) -> None:
    assert described("--hold --contiguous", request=(("H", value), ("contiguous", value))) == {}


def test_a_number_of_the_request_is_a_value() -> None:
    assert described(request=(("ntasks", 1),)) == {"tasks": 1, "flags": ["EXACT_TASK_COUNT_REQUESTED"]}


@pytest.mark.parametrize(
    ("directive", "line", "column", "option", "reason"),
    [
        ("-n 1 --colour=red", 2, 14, "--colour", "no such option"),
        ("-n 1 --mem-per=5", 2, 14, "--mem-per", "this may be --mem-per-cpu, --mem-per-gpu"),
        ("-n 1 -y", 2, 14, "-y", "no such option"),
        ("--hold=yes", 2, 9, "--hold", "takes no argument"),
        ("--time", 2, 9, "--time", "its argument is missing"),
        ("-n 1 word", 2, 14, "word", "this is no option"),
        ("--nice 5", 2, 16, "5", "this is no option"),
        ("-- x", 2, 12, "x", "this is no option"),
        ("-n 0", 2, 9, "--ntasks", '"0" is no number of 1 or more'),
        ("--mem=1G --mem-per-cpu=1G", 2, 18, "--mem-per-cpu", "exclude each other"),
        ("--exclusive -s", 2, 21, "--oversubscribe", "exclude each other"),
        ("-c 2 --cpus-per-gpu=1 -G1", 2, 14, "--cpus-per-gpu", "exclude each other"),
        ("--tres-per-task=cpu=2 -c 2", 2, 31, "--cpus-per-task", "exclude each other"),
        ("--tres-per-task=mem=2", 2, 9, "--tres-per-task", "mem is nothing that a task can have"),
        ("--ntasks-per-gpu=2", 2, 9, "--ntasks-per-gpu", "it needs GPUs"),
        ("--gpus-per-task=1", 2, 9, "--gpus-per-task", "needs a number of tasks"),
        ("-G 2 -n 1 --gpus-per-task=1", 2, 19, "--gpus-per-task", "make 2 tasks, not 1"),
        ("-n1 -m plane=4 -N 2", 2, 13, "--distribution", "too few"),
        ("-m arbitrary", 2, 9, "--distribution", "needs --nodelist"),
        ("--begin=2031-01-01 --deadline=2030-12-01", 2, 28, "--deadline", "before --begin"),
        ("--container-type=oci", 2, 9, "--container-type", "26.05 has it"),
        ("--wrap=true", 2, 9, "--wrap", "ignores it within a script"),
    ],
)
def test_a_wrong_option_is_refused_at_its_place(
    directive: str, line: int, column: int, option: str, reason: str
) -> None:
    with pytest.raises(sbatch.OptionError, match=reason) as refusal:
        translate(directive)

    assert (sbatch.Place(line, column), option) == (refusal.value.place, refusal.value.option)
    assert not isinstance(refusal.value, sbatch.NotCarriedError)


def test_an_argument_is_not_taken_from_the_next_line() -> None:
    with pytest.raises(sbatch.OptionError, match='sbatch would take "--ntasks=4" of the next directive for it'):
        translate("--job-name", "--ntasks=4")


@pytest.mark.parametrize(
    ("directive", "option", "reason"),
    [
        ("--wait", "--wait", "poll"),
        ("--test-only", "--test-only", "dry_run"),
        ("--export-file=e", "--export-file", "sbatch reads a file where it runs"),
        ("-w ./nodes", "--nodelist", "sbatch reads a file where it runs"),
        ("--propagate=STACK", "--propagate", "limits of the shell"),
        ("-M other", "--clusters", "go to one cluster"),
        ("--help", "--help", "submits nothing"),
        ("--uid=0", "--uid", "the token's user"),
        ("--cores-per-socket=2 --oom-kill-step", "--cores-per-socket", "no API version of this cluster carries"),
    ],
)
def test_what_nothing_carries_is_refused_with_the_reason(directive: str, option: str, reason: str) -> None:
    with pytest.raises(sbatch.NotCarriedError, match=reason) as refusal:
        translate(directive)

    assert (2, 9, option) == (refusal.value.place.line, refusal.value.place.column, refusal.value.option)


def test_an_option_of_the_request_is_refused_as_the_requests() -> None:
    with pytest.raises(sbatch.OptionError, match=r"^request: --time: "):
        translate(request=(("time", "x"),))
    with pytest.raises(sbatch.OptionError, match="no such option"):
        translate(request=(("part", "queue1"),))


def test_a_description_goes_by_the_newest_version_that_carries_it() -> None:
    assert translate("--oom-kill-step").api_version == "v0.0.42"
    assert translate("--stepmgr --resv-ports").api_version == "v0.0.41"
    assert translate("--cores-per-socket=2", versions=OF_26_05).api_version == "v0.0.45"

    by_an_older_one = translate("--cores-per-socket=2")
    assert by_an_older_one.api_version == "v0.0.40"
    assert "oom_kill_step" not in by_an_older_one.jobs[0]
    assert by_an_older_one.notices == (
        "request: sent by v0.0.40, which turns oom-kill-step off, also where the cluster has it on by default",
    )


def test_a_version_later_than_those_known_carries_what_the_latest_known_does() -> None:
    assert list(api_versions.missing({"cores_per_socket": 1, "container_type": "oci"}, "v0.0.50")) == []
    assert translate("--mem-update=5@10", versions=("v0.0.50", "v0.0.45")).api_version == "v0.0.50"


def test_releases_read_the_same_option_in_their_own_way() -> None:
    twice = "--mail-type=BEGIN --mail-type=END"

    assert described(twice) == {"mail_type": ["BEGIN", "END"]}
    assert described(twice, versions=OF_25_05) == {"mail_type": ["END"]}
    assert described("--requeue=expedite", versions=OF_25_11) == {"requeue": True, "flags": ["EXPEDITED_REQUEUE"]}
    with pytest.raises(sbatch.OptionError, match="takes no argument"):
        translate("--requeue=expedite", versions=OF_25_05)
    with pytest.raises(sbatch.OptionError, match="is not expedite"):
        translate("--requeue=x", versions=OF_26_05)
    with pytest.raises(sbatch.OptionError, match="exclude each other"):
        translate("--gres=gpu:1 --gpus-per-node=1", versions=OF_26_05)


def test_what_sbatch_reads_otherwise_than_it_looks_is_told() -> None:
    assert translate("--parsable --nice=x --mail-type=END,SOMETIMES", "-N4 -n2").notices == (
        "line 2, column 9: --parsable changes only what sbatch prints; the job is the same without it",
        'line 2, column 20: --nice: sbatch reads "x" as 0',
        "line 2, column 29: --mail-type: sbatch drops SOMETIMES, it knows none such",
        "line 3, column 9: can't run 2 tasks on 4 nodes, setting nodes to 2",
    )


def test_foreign_directives_are_refused_unless_they_are_to_be_ignored() -> None:
    script = sbatch.read(b"#!/bin/sh\n#SBATCH -n1\ntrue\n#PBS -l nodes=2\n")
    submission = sbatch.Submission("/")

    with pytest.raises(sbatch.ScriptError, match=r"line 4, column 1: .*--ignore-pbs"):
        sbatch.translate(script, [], submission, api_versions_of_cluster=OF_24_11)
    assert sbatch.translate(script, [("ignore-pbs", True)], submission, api_versions_of_cluster=OF_24_11).jobs


def test_a_wrapped_command_is_a_script() -> None:
    translation = sbatch.translate(
        None, [("wrap", "echo 'hi'")], sbatch.Submission("/"), api_versions_of_cluster=OF_24_11
    )

    assert translation.jobs[0]["name"] == "wrap"
    assert translation.jobs[0]["script"] == "#!/bin/sh\n# This script was created by sbatch --wrap.\n\necho 'hi'\n"
    with pytest.raises(sbatch.OptionError, match="there is a script too"):
        translate(request=(("wrap", "true"),))
    with pytest.raises(sbatch.ScriptError, match="no batch script"):
        sbatch.translate(None, [], sbatch.Submission("/"), api_versions_of_cluster=OF_24_11)


def test_a_script_may_have_a_name_and_arguments() -> None:
    assert described(script_name="/a/run.sh", arguments=("one", "two words")) == {
        "name": "run.sh",
        "argv": ["/a/run.sh", "one", "two words"],
    }


def test_components_of_a_heterogeneous_job_share_what_is_not_per_component() -> None:
    translation = translate("-n 1 -c 2 --mem=5 --account=a -J het", "hetjob", "-n 3 -p q2", request=(("time", "7"),))
    first, second = translation.jobs

    assert {"jobs": [first, second]} == translation.body()
    assert ("a", "het", number(5), number(7)) == (
        second["account"], second["name"], second["memory_per_node"], second["time_limit"],
    )  # fmt: skip
    assert (first["tasks"], first["cpus_per_task"], second["tasks"], second.get("cpus_per_task")) == (1, 2, 3, None)
    assert "script" in first
    assert "script" not in second
    steps = environment("-n 1", "hetjob", "-n 3")
    assert (
        steps["SLURM_NTASKS_HET_GROUP_0"], steps["SLURM_NTASKS_HET_GROUP_1"], steps["SLURM_NTASKS_PACK_GROUP_1"],
    ) == ("1", "3", "3")  # fmt: skip


def test_a_job_gets_its_users_login_environment_by_default() -> None:
    found = environment("-n 2")

    assert (
        found["SLURM_GET_USER_ENV"], found["SLURM_NTASKS"], found["SLURM_NPROCS"], found["SLURM_SUBMIT_DIR"],
        found["HYDRA_BOOTSTRAP"],
    ) == ("1", "2", "2", "/home/alice", "slurm")  # fmt: skip


@pytest.mark.parametrize(
    ("export", "expected"),
    [
        ("", {"A": "1", "B": "2", "SLURM_X": "3"}),
        ("--export=ALL", {"A": "1", "B": "2", "SLURM_X": "3"}),
        ("--export=NONE", {"SLURM_X": "3", "SLURM_GET_USER_ENV": "1", "SLURM_EXPORT_ENV": "NONE"}),
        ("--export=NIL", {"SLURM_X": "3", "SLURM_EXPORT_ENV": "NIL"}),
        ("--export=A,C=9,D", {
            "A": "1", "C": "9", "SLURM_X": "3", "SLURM_GET_USER_ENV": "1", "SLURM_EXPORT_ENV": "A,C=9,D",
        }),
        ("--export=ALL,A=5", {
            "A": "5", "B": "2", "SLURM_X": "3", "SLURM_GET_USER_ENV": "1", "SLURM_EXPORT_ENV": "ALL,A=5",
        }),
        ("--export=\"C='x,y'\"", {
            "C": "'x,y'", "SLURM_X": "3", "SLURM_GET_USER_ENV": "1", "SLURM_EXPORT_ENV": "C='x,y'",
        }),
        ("--get-user-env", {"A": "1", "B": "2", "SLURM_X": "3", "SLURM_GET_USER_ENV": "1"}),
    ],
)  # fmt: skip
def test_export_chooses_from_the_environment_of_the_request(export: str, expected: dict[str, str]) -> None:
    given = {"A": "1", "B": "2", "SLURM_X": "3", "SLURM_JWT": "secret"}
    plain = environment(environment={}).keys()
    found = environment(*([export] if export else []), environment=given)

    assert expected == {name: value for name, value in found.items() if name not in plain}


def test_a_token_never_goes_into_a_job() -> None:
    assert "SLURM_JWT" not in environment("--export=ALL,SLURM_JWT", environment={"SLURM_JWT": "secret"})
