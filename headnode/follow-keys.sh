#!/usr/bin/env bash
# Brings the JWKS file in line with the SSM parameter that lists the signing keys, and has the daemons read it
# when it changed. Run by slurm-gateway-keys.service every 15 s, and by configure.sh with --write-only.
#
# Whatever is wrong with the list (unreadable, empty, a key that KMS does not give), the file stays as it was:
# users go on with the keys that were last known to be good, and the failed unit says why.
set -euo pipefail
# shellcheck source=headnode/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"

# KMS key policies and grants take effect within seconds; what is longer than this list is a mistake.
readonly MOST_KEYS=8

usage() {
  cat <<'TEXT'
usage: follow-keys.sh [--write-only]

Writes the public keys that the SSM parameter lists to /var/lib/slurm-gateway/jwks.json.

  --write-only  write the file and tell no daemon
  --help        print this

Settings come from the environment (the unit reads /etc/slurm-gateway/settings and environment):
KEYS_PARAMETER, SLURM_ETC, SLURM_PREFIX, SYSTEMCTL, SLURMDBD, and the AWS CLI's own.
TEXT
}

listed_keys() {
  local list
  list=$(aws_cli ssm get-parameter --name "$KEYS_PARAMETER" --query Parameter.Value --output text) ||
    fail "cannot read the SSM parameter $KEYS_PARAMETER (AWS's answer stands above); the keys stay as they were"
  # StringList: keys separated by commas; blanks around them are tolerated.
  list=${list//[[:space:]]/}
  [[ $list =~ ^[A-Za-z0-9:/,_-]+$ && $list != *,,* && $list != ,* && $list != *, ]] ||
    fail "the SSM parameter $KEYS_PARAMETER is empty or no list of KMS keys; the keys stay as they were"
  tr ',' '\n' <<<"$list"
}

# The JWK of one KMS key, as one line of JSON. $1: key id or ARN; $2: file for its public key.
jwk() {
  local key=$1 der=$2 answer arn kid spec usage public modulus
  answer=$(aws_cli kms get-public-key --key-id "$key" \
    --query '[KeyId,KeySpec,KeyUsage,PublicKey]' --output text) ||
    fail "KMS does not give the public key of $key (its answer stands above); the keys stay as they were"
  read -r arn spec usage public <<<"$answer"
  [[ $spec == RSA_* && $usage == SIGN_VERIFY ]] ||
    fail "the KMS key $key is $spec for $usage; an RSA key for SIGN_VERIFY is needed; the keys stay as they were"
  kid=${arn##*/}
  [[ $kid =~ ^[A-Za-z0-9-]+$ ]] || fail "KMS calls the key $key \"$arn\", which ends in no key id"
  base64 --decode <<<"$public" >"$der"
  modulus=$(openssl rsa -pubin -inform DER -in "$der" -noout -modulus) ||
    fail "openssl cannot read the public key of $key; the keys stay as they were"
  printf '{"kty":"RSA","use":"sig","alg":"RS256","kid":"%s","n":"%s","e":"%s"}' \
    "$kid" "$(base64url_of_hex "${modulus#Modulus=}")" "$(base64url_of_hex "$(exponent "$der")")"
}

# The public exponent in hexadecimal, an even number of digits.
exponent() {
  local text
  text=$(openssl rsa -pubin -inform DER -in "$1" -noout -text)
  [[ $text =~ Exponent:\ [0-9]+\ \(0x([0-9a-fA-F]+)\) ]] || fail "openssl shows no exponent in $1"
  local hex=${BASH_REMATCH[1]}
  ((${#hex} % 2 == 0)) || hex=0$hex
  printf '%s' "$hex"
}

# RFC 7518: base64url of the big-endian number, without padding.
base64url_of_hex() {
  printf '%s' "${1^^}" | basenc --base16 --decode | basenc --base64url --wrap=0 | tr -d '='
}

# The key ids in the JWKS file, in its order; nothing where there is no file.
known_keys() {
  [[ -f $JWKS_FILE ]] || return 0
  grep --only-matching '"kid":"[^"]*"' "$JWKS_FILE" | cut -d '"' -f 4 || true
}

reload_daemons() {
  "$SLURM_PREFIX/bin/scontrol" reconfigure ||
    fail "the keys were written, but slurmctld did not take them: scontrol reconfigure failed"
  # slurmdbd reads its keys at its start only.
  if runs_slurmdbd; then
    "$SYSTEMCTL" restart slurmdbd.service || fail "the keys were written, but slurmdbd did not restart"
  fi
  rm -f "$STATE_DIRECTORY/reload-pending"
}

write_only=no
for argument in "$@"; do
  case $argument in
    --write-only) write_only=yes ;;
    --help) usage && exit 0 ;;
    *) fail "unknown argument $argument; see --help" ;;
  esac
done
for name in KEYS_PARAMETER SLURM_ETC SLURM_PREFIX SYSTEMCTL; do
  [[ -n ${!name:-} ]] || fail "$name is not set; configure.sh writes it to $SETTINGS_DIRECTORY/settings"
done

keys=$(listed_keys)
(($(wc -l <<<"$keys") <= MOST_KEYS)) || fail "$KEYS_PARAMETER lists more than $MOST_KEYS keys; the keys stay as they were"
changed=no
# A key id stands for one key pair for ever: while the ids are the same there is nothing to ask KMS for.
ids=$(while read -r key; do echo "${key##*/}"; done <<<"$keys")
if [[ $ids != "$(known_keys)" ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  entries=()
  while read -r key; do
    # Not in the array's own line: a failing substitution there would go unnoticed.
    entry=$(jwk "$key" "$work/key.der")
    entries+=("$entry")
  done <<<"$keys"
  # The mark first: a crash between the two leaves a reload too many, never one too few.
  touch "$STATE_DIRECTORY/reload-pending"
  replace_file "$JWKS_FILE" 0644 root:root < <(IFS=, && printf '{"keys":[%s]}\n' "${entries[*]}")
  if [[ $replaced == yes ]]; then
    changed=yes
    say "wrote ${#entries[@]} public key(s): $(known_keys | paste -s -d ' ')"
  fi
fi

# The mark outlives a failed reload, so that the next run tries it again.
if [[ $write_only == no && -f $STATE_DIRECTORY/reload-pending ]]; then
  reload_daemons
  say "slurmctld and slurmdbd have the new keys"
elif [[ $write_only == yes && $changed == no ]]; then
  say "the public keys are up to date"
fi
