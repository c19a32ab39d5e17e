#!/bin/bash
#SBATCH --comment="never closed
hostname
