"""What the head node tells the gateway and does for it: services under systemd, started by configure.sh's units.

Python 3.9 is enough, and boto3 is all that it needs beside the standard library: that is what Amazon Linux 2023 has.
"""
