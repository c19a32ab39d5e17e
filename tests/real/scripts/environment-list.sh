#!/bin/bash
#SBATCH --export=HOME,USER,MODE=fast,PATHS='/a,/b'
#SBATCH --chdir=/tmp
env
