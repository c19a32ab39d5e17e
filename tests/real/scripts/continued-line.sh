#!/bin/bash
#SBATCH --time=5 \
#SBATCH --ntasks=2
hostname
