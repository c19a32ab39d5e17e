#!/bin/bash
#SBATCH --job-name=postprocess
#SBATCH --dependency=afterok:@HELD@,afterany:@HELD@
#SBATCH --kill-on-invalid-dep=yes
./collect.sh
