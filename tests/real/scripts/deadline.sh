#!/bin/bash
#SBATCH --begin=2035-01-01T00:00:00
#SBATCH --deadline=2035-01-02T00:00:00
#SBATCH --time=60 --time-min=30
true
