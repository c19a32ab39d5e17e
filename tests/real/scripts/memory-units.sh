#!/bin/bash
#SBATCH --mem=1024K --tmp=1t
#SBATCH --nice=100 --priority=5
true
