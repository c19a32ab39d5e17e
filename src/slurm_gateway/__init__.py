"""The Lambda functions of slurm-gateway: a serverless front door to a Slurm cluster."""
