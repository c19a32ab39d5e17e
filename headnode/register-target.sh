#!/usr/bin/env bash
# Registers this instance in the load balancer's target group. Run by slurm-gateway-register.service at boot and
# every five minutes: to register what is registered does nothing, and a deregistered head node comes back.
set -euo pipefail
# shellcheck source=headnode/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

for name in TARGET_GROUP_ARN INSTANCE_ID PORT; do
  [[ -n ${!name:-} ]] || fail "$name is not set; configure.sh writes it to $SETTINGS_DIRECTORY/settings"
done

aws_cli elbv2 register-targets --target-group-arn "$TARGET_GROUP_ARN" --targets "Id=$INSTANCE_ID,Port=$PORT" ||
  fail "cannot register $INSTANCE_ID:$PORT in $TARGET_GROUP_ARN (AWS's answer stands above)"

if [[ -n ${LISTS_TARGET_GROUP_ARN:-} ]]; then
  aws_cli elbv2 register-targets --target-group-arn "$LISTS_TARGET_GROUP_ARN" \
    --targets "Id=$INSTANCE_ID,Port=$((PORT + 1))" ||
    fail "cannot register $INSTANCE_ID:$((PORT + 1)) in $LISTS_TARGET_GROUP_ARN (AWS's answer stands above)"
fi
