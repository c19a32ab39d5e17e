#!/bin/bash
#SBATCH -n 1 : -n 2
hostname
