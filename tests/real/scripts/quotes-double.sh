#!/bin/bash
#SBATCH --job-name="a \"quoted\" name"
#SBATCH --comment="it's # not a comment"
#SBATCH -o "out file-%j.txt"
hostname
