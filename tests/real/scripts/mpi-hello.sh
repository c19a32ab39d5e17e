#!/bin/bash
#SBATCH --job-name=mpi-hello
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --time=00:10:00
#SBATCH --output=mpi-%j.out
#SBATCH --error=mpi-%j.err

module load openmpi
srun ./hello_mpi
