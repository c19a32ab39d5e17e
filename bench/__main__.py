"""Every benchmark, against the running stack: ``python -m bench``. Exit status 1 where a stated limit is passed."""

from __future__ import annotations

import os
import subprocess
import sys

from bench import client, cold_start, job_list, jobs, native, verify
from bench.clients import stack_environment
from local import principals
from local.address import CHECKOUT
from local.aws_emulator import endpoint


def main() -> int:
    """Run them one after the other, and remove the jobs that they leave."""
    os.environ |= {
        **principals.administrator().environment(),
        "AWS_ENDPOINT_URL": endpoint(),
        "AWS_REGION": stack_environment()["AWS_REGION"],
        "AWS_DEFAULT_REGION": stack_environment()["AWS_REGION"],
    }
    try:
        native.main()
        print()
        slow = cold_start.main()
        print()
        slow |= verify.main()
        print()
        slow |= client.main()
        print()
        slow |= jobs.main()
        print()
        return slow | job_list.main()
    finally:
        subprocess.run([CHECKOUT / "local/slurm", "scancel", "--name=bench"], check=True)


if __name__ == "__main__":
    sys.exit(main())
