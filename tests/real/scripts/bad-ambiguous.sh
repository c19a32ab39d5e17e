#!/bin/bash
#SBATCH --mem-per=5
hostname
