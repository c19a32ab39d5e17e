#!/bin/bash
# A job that explains itself.
#
#SBATCH --time=10
## SBATCH --time=99
##SBATCH --time=98
# SBATCH --time=97
#sbatch --time=96
   # an indented comment

 #SBATCH --time=95
#SBATCH --ntasks=2     # the number of tasks

hostname
