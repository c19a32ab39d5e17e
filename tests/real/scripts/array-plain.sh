#!/bin/bash
#SBATCH --array=1-100%10
#SBATCH -o logs/%A_%a.out
#SBATCH -e logs/%A_%a.err
#SBATCH --mem-per-cpu=200M

python process.py "$SLURM_ARRAY_TASK_ID"
