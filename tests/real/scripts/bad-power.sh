#!/bin/bash
#SBATCH --power=off
hostname
