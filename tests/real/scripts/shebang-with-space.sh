#! /bin/bash -e
#SBATCH -t 3
true
