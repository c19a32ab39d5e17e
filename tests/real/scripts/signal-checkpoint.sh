#!/bin/bash
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --time=30
trap 'scontrol requeue $SLURM_JOB_ID' USR1
./simulate & wait
