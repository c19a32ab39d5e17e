#!/bin/bash
#SBATCH --hold=yes
hostname
