#!/bin/bash
#SBATCH --comment='a\'b\\c'
hostname
