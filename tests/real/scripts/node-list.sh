#!/bin/bash
#SBATCH --nodelist=queue1-dy-t3micro-[1,3]
#SBATCH --ntasks=4 --overcommit
srun hostname
