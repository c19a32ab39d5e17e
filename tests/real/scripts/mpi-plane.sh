#!/bin/sh
#SBATCH --ntasks 8
#SBATCH --nodes 4
#SBATCH -m plane=2
#SBATCH --exclusive
srun ./solver input.dat
