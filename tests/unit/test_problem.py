import json

from slurm_gateway.problem import Problem


def test_a_problem_is_answered_as_rfc_9457_writes_it() -> None:
    problem = Problem(409, "busy", title="Busy", detail="Try again.", retry_after=3)

    response = problem.response("request-1")

    assert {**response, "body": json.loads(response["body"])} == {
        "statusCode": 409,
        "headers": {
            "content-type": "application/problem+json",
            "cache-control": "no-store",
            "retry-after": "3",
        },
        "body": {
            "type": "urn:slurm-gateway:problem:busy",
            "title": "Busy",
            "status": 409,
            "detail": "Try again.",
            "instance": "request-1",
        },
    }


def test_retry_after_is_told_only_where_it_helps() -> None:
    assert "retry-after" not in Problem(403, "no", title="No", detail="No.").response("")["headers"]
