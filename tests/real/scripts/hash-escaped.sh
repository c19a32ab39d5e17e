#!/bin/bash
#SBATCH --comment=issue\#42 --time=5
#SBATCH -J "name#1" #trailing comment --time=99
hostname
