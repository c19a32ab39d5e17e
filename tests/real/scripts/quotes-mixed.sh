#!/bin/bash
#SBATCH --comment=left" mid dle "right
#SBATCH -J'glued'
#SBATCH --wckey="two"' 'words
hostname
