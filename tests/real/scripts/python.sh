#!/usr/bin/env python3
#SBATCH --job-name=python-job
#SBATCH --cpus-per-task=4
"""A script need not be a shell's."""
#SBATCH --time=99
import os
print(os.environ["SLURM_JOB_ID"])
