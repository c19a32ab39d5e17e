#!/bin/bash
#SBATCH --array 0,2,4-10:2,99
#SBATCH --job-name "sweep of alpha"
#SBATCH --mail-type=END,FAIL,ARRAY_TASKS --mail-user=alice@example.org
PARAMS=(0.1 0.2 0.3)
echo ${PARAMS[$SLURM_ARRAY_TASK_ID]}
