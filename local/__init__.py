"""The stack on one machine: real Slurm, a local AWS and the gateway, driven by the deployed template."""
