# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts that source this use what it sets
# What the head-node scripts share: messages, settings, replacing files, calls to AWS.

readonly INSTALL_DIRECTORY=/opt/slurm-gateway
readonly SETTINGS_DIRECTORY=/etc/slurm-gateway
readonly STATE_DIRECTORY=/var/lib/slurm-gateway
readonly JWKS_FILE=$STATE_DIRECTORY/jwks.json
readonly JWT_KEY_FILE=$STATE_DIRECTORY/jwt_hs256.key

program=${0##*/}

say() {
  printf '%s: %s\n' "$program" "$*"
}

# A status of its own, so that an outer shell knows that the message has been given.
readonly EXPLAINED=99

fail() {
  printf '%s: error: %s\n' "$program" "$*" >&2
  exit "$EXPLAINED"
}

# An error that no message of ours explains still names the line and the command.
on_error() {
  local status=$?
  ((status == EXPLAINED)) ||
    printf '%s: error: line %s: "%s" failed with exit status %s\n' "$program" "$1" "$2" "$status" >&2
  exit "$status"
}
trap 'on_error "$LINENO" "$BASH_COMMAND"' ERR
set -E

# Read NAME=value lines into the environment. The file is data: nothing in it is executed.
load_environment() {
  local line
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^[A-Z][A-Z0-9_]*= ]]; then
      export "${line?}"
    fi
  done <"$1"
}

# Write standard input to FILE by rename, so that a reader sees the old file or the new one, never a part.
# Sets `replaced` to yes when the file changed, to no when it already held the same. Call it as a plain command:
# in a condition or a pipe its own failures would go unnoticed.
replace_file() {
  local file=$1 mode=$2 owner=$3 new
  new=$(mktemp "$file.XXXXXX")
  cat >"$new"
  chmod "$mode" "$new"
  chown "$owner" "$new"
  # Some file systems give a file its new name on disk before its contents: a crash in between would leave none.
  sync "$new"
  replaced=yes
  if [[ -f $file ]] && cmp --silent "$new" "$file"; then
    replaced=no
  fi
  mv -f "$new" "$file"
}

# The AWS CLI with bounded waiting: an endpoint that does not answer must not hold up what comes after.
aws_cli() {
  AWS_PAGER='' AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=3 \
    aws --cli-connect-timeout 5 --cli-read-timeout 10 "$@"
}

# Run a command until it succeeds, at most ATTEMPTS times, PAUSE seconds apart: at boot the network, the
# instance's role and its policies may be some seconds behind.
retry() {
  local attempts=$1 pause=$2 attempt
  shift 2
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    if "$@"; then
      return 0
    fi
    if ((attempt < attempts)); then
      say "attempt $attempt of $attempts failed; the next follows in $pause s" >&2
      sleep "$pause"
    fi
  done
  return 1
}

# Wait at most SECONDS until a command succeeds, looking once a second.
wait_for() {
  local seconds=$1
  shift
  until "$@"; do
    ((seconds-- > 0)) || return 1
    sleep 1
  done
}

# One line of the instance metadata service, version 2.
instance_metadata() {
  local token endpoint=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}/latest
  token=$(curl --silent --show-error --fail --max-time 5 --request PUT \
    --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$endpoint/api/token") || return 1
  curl --silent --show-error --fail --max-time 5 \
    --header "X-aws-ec2-metadata-token: $token" "$endpoint/meta-data/$1"
}

# Tell whether this machine runs slurmdbd (SLURMDBD is auto, yes or no).
runs_slurmdbd() {
  case ${SLURMDBD:-auto} in
    yes) return 0 ;;
    no) return 1 ;;
    *) [[ -f $SLURM_ETC/slurmdbd.conf ]] && "$SYSTEMCTL" cat slurmdbd.service >/dev/null 2>&1 ;;
  esac
}
