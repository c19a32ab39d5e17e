#!/bin/bash
#SBATCH --job-name=größe-Δ-日本
#SBATCH --comment="naïve café"
echo "Ünïcödé"
