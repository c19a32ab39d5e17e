#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=2
#SBATCH --mem=500M
#SBATCH --time=2:00:00
nvidia-smi
python train.py --epochs 10
