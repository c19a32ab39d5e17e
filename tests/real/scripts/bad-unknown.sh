#!/bin/bash
#SBATCH --colour=red
hostname
