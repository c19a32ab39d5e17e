#!/bin/bash
#SBATCH --comment=back\ slash\ space\\end
#SBATCH -J tab\there
#SBATCH --account=us\ers
hostname
