#!/bin/bash
#SBATCH --job-name=hello --partition=queue1
#SBATCH --time=5
#SBATCH --output=hello-%j.out
echo "Hello from $(id -un), job $SLURM_JOB_ID on $SLURM_JOB_NODELIST"
