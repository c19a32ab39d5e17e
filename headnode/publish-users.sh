#!/usr/bin/env bash
# Publishes who may have a token: every user who is known here, has a number of 1000 or above, and is not root by
# another way. Run by slurm-gateway-users.service every five minutes and when a local file changes that decides it.
#
# Whatever goes wrong, nothing is published: the gateway takes an old list for a quarter of an hour, and then none.
set -euo pipefail
# shellcheck source=headnode/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
# shellcheck source=headnode/slurm-conf.sh
. "$(dirname "$(readlink -f "$0")")/slurm-conf.sh"

# Who is in one of these is root if they like, with or without sudo.
readonly ROOTLIKE_GROUPS=' root wheel sudo admin disk docker lxd shadow '
# nobody, and what NFS makes of a user it does not know.
readonly NOBODIES=' 65534 65535 4294967294 4294967295 '
readonly DECISION=$STATE_DIRECTORY/eligible-users
# What is decided elsewhere than in local files, such as sudo rules of a directory, is seen at the latest after this.
readonly OLDEST_DECISION=3600

usage() {
  cat <<'TEXT'
usage: publish-users.sh

Writes the names of the users who may have a token to the S3 object of USERS_OBJECT.

Settings come from the environment (the unit reads /etc/slurm-gateway/settings and environment):
USERS_OBJECT (s3://BUCKET/KEY), SLURM_PREFIX, SLURM_ETC, and the AWS CLI's own.
TEXT
}

# Every name that could be a user's: a directory such as SSSD's does not list its users, but knows them by name, and
# those who may use the cluster are in its accounting or have a home.
candidates() {
  local home
  {
    getent passwd | cut -d: -f1
    "$SLURM_PREFIX/bin/sacctmgr" --noheader --parsable2 show user format=user 2>/dev/null || true
    for home in /home/*; do
      printf '%s\n' "${home##*/}"
    done
  } | grep -E '^[a-z_][a-z0-9_.-]{0,31}$' | sort -u
}

# All that the decision rests on, of this machine: while it is the same there is nothing to decide anew. (Each question
# to sudo is a line in the system's log.)
evidence() {
  local name
  while read -r name; do
    getent passwd "$name" || true
    id -Gn "$name" 2>/dev/null || true
  done <"$1"
  printf '%s\n' "$SLURM_USERS"
  cat /etc/nsswitch.conf /etc/sudoers /etc/sudoers.d/* 2>/dev/null || true
}

is_eligible() {
  local name=$1 uid groups group
  uid=$(getent passwd "$name" | cut -d: -f3) || return 1
  [[ $uid =~ ^[0-9]{4,10}$ && $NOBODIES != *" $uid "* ]] && ((uid >= 1000)) || return 1
  groups=$(id -Gn "$name") || return 1
  for group in $groups; do
    [[ $ROOTLIKE_GROUPS != *" $group "* ]] || return 1
  done
  # Whom Slurm runs as may act as anyone.
  [[ $SLURM_USERS != *" $name "* ]] && has_no_sudo "$name"
}

# sudo itself reads its rules, wherever they are. Any other answer than this one, an error too, counts as having some.
has_no_sudo() {
  command -v sudo >/dev/null || return 0
  local answer
  answer=$(LC_ALL=C sudo -n -l -U "$1" 2>/dev/null </dev/null) || true
  [[ $answer == "User $1 is not allowed to run sudo on "* ]]
}

# Write the eligible names, one a line, to a file; they are decided anew only where something changed. A plain command
# all through: in a substitution a failure would go unnoticed.
eligible() {
  local file=$1 digest name
  candidates >"$work/candidates"
  evidence "$work/candidates" >"$work/evidence"
  digest=$(sha256sum <"$work/evidence")
  if [[ -n $(find "$DECISION" -newermt "-$OLDEST_DECISION seconds" 2>/dev/null) && $(head -n 1 "$DECISION") == "$digest" ]]; then
    tail -n +2 "$DECISION" >"$file"
    return
  fi
  while read -r name; do
    if is_eligible "$name"; then
      printf '%s\n' "$name"
    fi
  done <"$work/candidates" >"$file"
  { printf '%s\n' "$digest" && cat "$file"; } >"$work/decision"
  mv -f "$work/decision" "$DECISION"
}

for argument in "$@"; do
  case $argument in
    --help) usage && exit 0 ;;
    *) fail "unknown argument $argument; see --help" ;;
  esac
done
# Before the first look: a change from now on is noted again, and this is started again for it. And before anything that
# may fail: while it is there, systemd starts this again at once.
rm -f "$STATE_DIRECTORY/users-changed"
for name in USERS_OBJECT SLURM_PREFIX SLURM_ETC; do
  [[ -n ${!name:-} ]] || fail "$name is not set; configure.sh writes it to $SETTINGS_DIRECTORY/settings"
done

# Without it nobody would know whom Slurm runs as.
[[ -r $SLURM_ETC/slurm.conf ]] || fail "$SLURM_ETC/slurm.conf cannot be read"
SLURM_USERS=" $(conf_value "$SLURM_ETC/slurm.conf" SlurmUser) "
if [[ -r $SLURM_ETC/slurmdbd.conf ]]; then
  SLURM_USERS+="$(conf_value "$SLURM_ETC/slurmdbd.conf" SlurmUser) "
fi
work=$(mktemp -d "$STATE_DIRECTORY/users.XXXXXX")
trap 'rm -rf "$work"' EXIT
object=${USERS_OBJECT#s3://}
eligible "$work/eligible"
# The names are letters, digits and - _ . alone: nothing in them is special to JSON.
printf '{"users":[%s]}\n' "$(sed -e 's/.*/"&"/' "$work/eligible" | paste -s -d ,)" >"$work/users.json"
aws_cli s3api put-object --bucket "${object%%/*}" --key "${object#*/}" --body "$work/users.json" \
  --content-type application/json --output text >/dev/null ||
  fail "cannot write $USERS_OBJECT (AWS's answer stands above)"
