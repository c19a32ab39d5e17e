#!/bin/bash
#SBATCH --time=5 oops
true
