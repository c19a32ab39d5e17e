#!/bin/bash
#SBATCH -HsOn2 -t5
#SBATCH -kHc1
hostname
