#!/bin/bash
#SBATCH --gpus-per-node=2 --nodes=2 --exclusive
#SBATCH --tres-bind=gres/gpu:closest
srun ./gpu
