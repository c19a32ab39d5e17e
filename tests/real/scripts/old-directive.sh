#!/bin/bash
#SLURM --time=12
#SBATCH --ntasks=2
true
