#!/usr/bin/env bash
# Hands the instance's credentials on to the feed, which runs as a user that the metadata service does not answer: on
# ParallelCluster's head node only root, pcluster-admin and the default user reach it. Run every five minutes by
# slurm-gateway-credentials.service; the feed reads the file by aws-config's credential_process.
set -euo pipefail
# shellcheck source=headnode/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

file=${1:-/run/slurm-gateway/credentials.json}
user=${2:-slurm-gateway}

if [[ -n ${AWS_ACCESS_KEY_ID:-} ]]; then
  say 'the environment file holds credentials: there are none to hand on'
  exit 0
fi
install -d -m 0755 "$(dirname "$file")"
role=$(instance_metadata iam/security-credentials/) || fail 'the metadata service names no role of this instance'
credentials=$(instance_metadata "iam/security-credentials/${role%%$'\n'*}") || fail "no credentials of the role $role"
# The members of credential_process (AWS CLI's user guide) are the metadata service's, but for these two.
# For the feed alone, and not for its group: slurm-gateway-queue.service is in that, and is SlurmUser.
replace_file "$file" 0400 "$user" < <(
  sed -e '0,/{/s//{"Version": 1,/' -e 's/"Token"[[:space:]]*:/"SessionToken":/' <<<"$credentials"
)
