"""Parliament over the policies of roles: reads what ``python -m local.iam_policies --json`` prints, prints findings.

It runs in the linters' environment. Policies of resources (the key's, the bucket's, the queues') are checkov's: what
parliament asks of a policy is meant for roles.
"""

from __future__ import annotations

import json
import sys

import parliament

# By policy, finding and a word in what it is about; each with its reason.
ACCEPTED = {
    # Parliament takes a colon in a parameter's name for a mistake. It is how IAM may see a version of a parameter.
    ("TokenRole", "RESOURCE_MISMATCH", "ssm:GetParameter"),
    ("InboxRole", "RESOURCE_MISMATCH", "ssm:GetParameter"),
    # Parliament knows no key of Lambda's for another service's actions. Each request of a function's code has this one.
    ("FunctionsInTheVpcPolicy", "UNKNOWN_CONDITION_FOR_ACTION", "lambda:SourceFunctionArn"),
}


def main() -> int:
    """Print what is found and not accepted; return 1 if anything is."""
    found = 0
    policies = json.load(sys.stdin)
    for policy in policies:
        if policy["kind"] != "identity":
            continue
        for finding in parliament.analyze_policy_string(json.dumps(policy["policy"])).findings:
            if any(
                policy["name"] == name and finding.issue == issue and word in str(finding.detail)
                for name, issue, word in ACCEPTED
            ):
                continue
            found += 1
            print(f"{policy['name']}: {finding.issue}: {finding.detail}")
    identities = sum(policy["kind"] == "identity" for policy in policies)
    print(f"{identities} policies, {found} findings")
    # A list of none would be one that was not read.
    return int(found > 0 or identities == 0)


if __name__ == "__main__":
    sys.exit(main())
