#!/bin/bash --login
#SBATCH --export=NONE
#SBATCH --get-user-env
#SBATCH --dependency=afterany:@HELD@
env
