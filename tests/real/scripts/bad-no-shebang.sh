#SBATCH --time=5
hostname
