#!/bin/bash
#SBATCH --part=queue1 --acco users
#SBATCH --comm=short --depend=afternotok:@HELD@
#SBATCH --ntasks-per-n=2
hostname
