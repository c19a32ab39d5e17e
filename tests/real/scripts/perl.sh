#!/usr/bin/perl -w
#SBATCH -t 15
#SBATCH -C fast
use strict;
print "hello\n";
