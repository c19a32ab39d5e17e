#!/bin/bash
#SBATCH --time=10
set -e
#SBATCH --time=99 --nodes=4 --no-such-option
hostname
