#!/bin/bash


#SBATCH -t 7
	
#SBATCH -n 2
hostname
