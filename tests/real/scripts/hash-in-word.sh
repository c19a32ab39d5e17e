#!/bin/bash
#SBATCH --comment=issue#42 --time=5
#SBATCH --job-name=real
hostname
