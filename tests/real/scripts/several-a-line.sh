#!/bin/bash
#SBATCH -p queue1 -t 1:00 -n1 --mem 100 --exclusive=user -J several -o /dev/null
hostname
