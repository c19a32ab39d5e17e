#!/bin/bash
#SBATCH --time=10
#SBATCH -t 20 --time=30
#SBATCH -n 4 -n 2
#SBATCH --partition=queue2 -p queue1
hostname
