#!/bin/bash
#SBATCH -G 2
#SBATCH --cpus-per-gpu=1
#SBATCH --mem-per-gpu=100M
#SBATCH --gpu-freq=medium,memory=high
#SBATCH --ntasks=2
srun ./gpu
