#!/bin/bash
#SBATCH --job-name='single $HOME `id`'
#SBATCH --comment='say "hi"'
hostname
