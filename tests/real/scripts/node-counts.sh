#!/bin/bash
#SBATCH -N 1-3 --use-min-nodes
#SBATCH --ntasks-per-socket=1 --sockets-per-node=1
srun hostname
