#!/bin/bash -l
#SBATCH -J hybrid          # MPI x OpenMP
#SBATCH -N 2 -n 4 -c 2     # 2 nodes, 4 ranks, 2 threads each
#SBATCH -t 0-01:30
#SBATCH --distribution=block:cyclic
#SBATCH --hint=nomultithread

export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
mpirun ./a.out
