#!/bin/bash
#SBATCH --job-name=het --time=10
#SBATCH --ntasks=1 --cpus-per-task=2 --mem=100
#SBATCH hetjob
#SBATCH --ntasks=2 --mem=200 --partition=queue1
#SBATCH hetjob
#SBATCH --nodes=1 --gres=gpu:1
srun --het-group=0 ./a : --het-group=1 ./b
