#!/bin/bash
#PBS -l walltime=01:00:00
#SBATCH --ignore-pbs
#SBATCH --time=5
true
