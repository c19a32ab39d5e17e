#!/bin/bash
#SBATCH --licenses=matlab:1,ansys
#SBATCH --constraint="fast&t3"
#SBATCH --prefer=fast
#SBATCH --exclude=queue1-dy-t3micro-4
#SBATCH --tmp=1G --mincpus=2 --contiguous
#SBATCH --switches=1@5:00
matlab -batch main
