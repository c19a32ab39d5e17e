#!/usr/bin/env bash
# Sets a Slurm head node up behind slurm-gateway. See --help and the README beside this file.
set -euo pipefail
# Whatever the caller's is: services and jobs' users run what is made here, and what is for few has a mode of its own.
umask 022

usage() {
  cat <<'TEXT'
usage: configure.sh --keys-parameter NAME --event-bus NAME --bucket NAME --orders-queue URL [OPTION VALUE]...

Sets up a Slurm head node behind slurm-gateway: token keys, slurmrestd, the load balancer's target, the services
that tell of jobs. Runs as root, as ParallelCluster's OnNodeConfigured script or by hand; running it again changes only what differs.

  --keys-parameter NAME       SSM parameter that lists the KMS signing keys (required)
  --target-group-arn ARN      target group to register this instance in (default: none)
  --allow-cidrs A,B           the load balancer's subnets, which may reach slurmrestd (default: this machine only)
  --port N                    slurmrestd's port, outside slurmctld's (default: 6830)
  --listen-address ADDRESS    address slurmrestd listens on (default: 0.0.0.0; its unit filters who gets in)
  --users-object s3://B/KEY   where to publish the users who may have tokens (default: not at all)
  --slurmdbd auto|yes|no      whether this machine runs slurmdbd (default: auto: it has slurmdbd.conf and the unit)
  --memory-max SIZE           slurmrestd's memory limit (default: 2G)
  --lists-target-group-arn ARN  target group of a second slurmrestd, on the next port, for lists of all jobs (default: none)
  --lists-memory-max SIZE     its memory limit (default: 1G)
  --max-connections N         slurmrestd's connections at a time (default: 124)
  --canary-user NAME          the canary's user, made without home and shell where it is missing (default: none)
  --event-bus NAME            EventBridge bus on which job states are told (required)
  --bucket NAME               bucket of inputs and output (required)
  --orders-queue URL          SQS queue of orders to this machine (required)
  --shared-directories A,B    directories that the compute nodes share with this machine (default: auto: what it
                              exports by NFS, and what network file systems it mounts, but for those under /opt)
  --output-max-bytes N        the most that is kept of one job's output (default: 10737418240, 10 GiB; at most 83886080000)
  --output-max-files N        the most files that are kept of one job (default: 1000)
  --output-bandwidth N        bytes a second for all inputs and output together (default: 104857600, 100 MiB)
  --python PATH               Python 3.9 or newer with boto3 (default: a virtual environment made beside this script)
  --slurm-prefix DIR          where Slurm is installed (default: /opt/slurm)
  --slurm-etc DIR             where slurm.conf is (default: PREFIX/etc)
  --systemctl PATH            the service manager (default: systemctl)
  --instance-id ID            this instance (default: from the instance metadata service)
  --region NAME               AWS region (default: from the environment file, else the metadata service; --arguments and
                              --source are fetched from this one if it is given on the command line)
  --environment-file PATH     NAME=value lines for the AWS CLI, for instance AWS_ENDPOINT_URL; copied, readable by root only
  --source s3://BUCKET/DIR/   where the files beside this script come from when they do not lie beside it
  --arguments s3://B/KEY      object with more arguments, separated by white space; those given here come before them
  --release NAME              what is being installed, for the output (default: not told)
  --help                      print this
TEXT
}

# Each option sets the variable of its name: --slurm-etc sets slurm_etc.
keys_parameter='' target_group_arn='' allow_cidrs='' port=6830 listen_address=0.0.0.0 slurmdbd=auto
memory_max=2G lists_target_group_arn='' lists_memory_max=1G max_connections=124 slurm_prefix=/opt/slurm slurm_etc='' systemctl=systemctl
instance_id='' region='' environment_file='' source='' event_bus='' python='' users_object='' canary_user=''
bucket='' orders_queue='' shared_directories=auto arguments='' release=''
output_max_bytes=10737418240 output_max_files=1000 output_bandwidth=104857600
read_arguments() {
  local name
  while (($# > 0)); do
    case $1 in
      --help) usage && exit 0 ;;
      --keys-parameter | --target-group-arn | --allow-cidrs | --port | --listen-address | --slurmdbd | \
        --memory-max | --max-connections | --slurm-prefix | --slurm-etc | --systemctl | --instance-id | \
        --region | --environment-file | --source | --event-bus | --python | --bucket | --orders-queue | \
        --shared-directories | --output-max-bytes | --output-max-files | --output-bandwidth | --users-object | \
        --canary-user | --lists-target-group-arn | --lists-memory-max | --arguments | --release)
        if (($# < 2)); then
          echo "configure.sh: error: $1 needs a value; see --help" >&2
          exit 2
        fi
        name=${1#--}
        printf -v "${name//-/_}" '%s' "$2"
        shift 2
        ;;
      *)
        echo "configure.sh: error: unknown argument $1; see --help" >&2
        exit 2
        ;;
    esac
  done
}

# Copy an object of the bucket to a file, or give up. This is retry and aws_cli of lib.sh, which may have yet to be fetched.
fetch() {
  local attempt attempts=12 pause=5
  for ((attempt = 1; attempt <= attempts; attempt++)); do
    if AWS_RETRY_MODE=standard AWS_MAX_ATTEMPTS=3 \
      aws --cli-connect-timeout 5 --cli-read-timeout 10 s3 cp --only-show-errors "$1" "$2" </dev/null; then
      return 0
    fi
    if ((attempt < attempts)); then
      echo "configure.sh: attempt $attempt of $attempts to fetch $1 failed; the next follows in $pause s" >&2
      sleep "$pause"
    fi
  done
  echo "configure.sh: error: $1 is missing or cannot be read (AWS's answer stands above)" >&2
  exit 1
}

read_arguments "$@"
here=$(dirname "$(readlink -f "$0")")
fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
[[ -z $region ]] || export AWS_REGION=$region AWS_DEFAULT_REGION=$region
if [[ -n $arguments ]]; then
  fetch "$arguments" "$fetched/arguments"
  read -rd '' -a listed <"$fetched/arguments" || true
  # Those of the command line are read last, for the last one holds.
  read_arguments "${listed[@]}" "$@"
fi
[[ -z $release ]] || echo "configure.sh: release $release"

if [[ ! -f $here/lib.sh ]]; then
  if [[ -z $source ]]; then
    echo "configure.sh: error: lib.sh does not lie beside this script: give --source s3://BUCKET/DIR/" >&2
    exit 2
  fi
  here=$fetched
  echo "configure.sh: fetching the files beside it from $source"
  # File by file: the head node's role may read objects, and need not list the bucket.
  fetch "${source%/}/manifest" "$here/manifest"
  while read -r file; do
    fetch "${source%/}/$file" "$here/$file"
  done <"$here/manifest"
fi
# shellcheck source=headnode/lib.sh
. "$here/lib.sh"
# shellcheck source=headnode/slurm-conf.sh
. "$here/slurm-conf.sh"

SLURM_PREFIX=$slurm_prefix
SLURM_ETC=${slurm_etc:-$slurm_prefix/etc}
SYSTEMCTL=$systemctl
SLURMDBD=$slurmdbd
slurm_conf=$SLURM_ETC/slurm.conf
slurmdbd_conf=$SLURM_ETC/slurmdbd.conf
mapfile -t files <"$here/manifest"
# The services that are Python: package slurm_gateway_node.
readonly SERVICES=(slurm-gateway-queue.service slurm-gateway-feed.service slurm-gateway-files.service)

check_arguments() {
  ((EUID == 0)) || fail 'run this as root'
  [[ -n $keys_parameter ]] || fail '--keys-parameter is missing; see --help'
  [[ $event_bus =~ ^[A-Za-z0-9./_-]+$ ]] || fail '--event-bus is missing or no name of a bus; see --help'
  [[ $bucket =~ ^[a-z0-9][a-z0-9.-]+$ ]] || fail '--bucket is missing or no name of a bucket; see --help'
  [[ $orders_queue =~ ^https?://[^[:space:]]+$ ]] || fail '--orders-queue is missing or no URL; see --help'
  [[ $shared_directories =~ ^(auto|(/[A-Za-z0-9._-]+)+(,(/[A-Za-z0-9._-]+)+)*)$ ]] ||
    fail "--shared-directories takes auto or directories separated by commas, not $shared_directories"
  local number
  for number in output_max_bytes output_max_files output_bandwidth; do
    [[ ${!number} =~ ^[1-9][0-9]{0,14}$ ]] || fail "--${number//_/-} takes a number from 1, not ${!number}"
  done
  ((output_max_bytes <= 83886080000)) ||
    fail "--output-max-bytes takes at most 83886080000, not $output_max_bytes: an object is sent to S3 in 10,000 parts of 8 MiB"
  [[ $port =~ ^[1-9][0-9]{3,4}$ ]] || fail "--port takes a number from 1024 to 65535, not $port"
  ((port >= 1024 && port <= 65535)) || fail "--port takes a number from 1024 to 65535, not $port"
  ((port < 6820 || port > 6829)) || fail "--port $port is slurmctld's on ParallelCluster (6820 to 6829)"
  [[ $slurmdbd =~ ^(auto|yes|no)$ ]] || fail "--slurmdbd takes auto, yes or no, not $slurmdbd"
  [[ $memory_max =~ ^[0-9]+[KMGT%]?$ ]] || fail "--memory-max takes a size such as 2G, not $memory_max"
  [[ $lists_memory_max =~ ^[0-9]+[KMGT%]?$ ]] || fail "--lists-memory-max takes a size such as 1G, not $lists_memory_max"
  [[ $max_connections =~ ^[0-9]+$ ]] || fail "--max-connections takes a number, not $max_connections"
  [[ $allow_cidrs =~ ^[0-9a-fA-F.:/,]*$ ]] || fail "--allow-cidrs takes CIDRs separated by commas, not $allow_cidrs"
  [[ $listen_address =~ ^[0-9a-fA-F.:]+$ ]] || fail "--listen-address takes an IP address, not $listen_address"
  [[ $canary_user =~ ^([a-z_][a-z0-9_-]{0,30})?$ ]] || fail "--canary-user takes a user name, not $canary_user"
  [[ $users_object =~ ^(s3://[a-z0-9.-]+/[A-Za-z0-9_./-]+)?$ ]] || fail "--users-object takes s3://BUCKET/KEY, not $users_object"
  [[ -z $environment_file || -r $environment_file ]] || fail "--environment-file $environment_file cannot be read"
}

check_machine() {
  local command
  for command in aws curl openssl basenc "$SYSTEMCTL"; do
    command -v "$command" >/dev/null || fail "the command $command is missing on this machine"
  done
  [[ -f $slurm_conf ]] || fail "$slurm_conf is missing: give --slurm-etc"
  [[ -x $SLURM_PREFIX/sbin/slurmrestd ]] || fail "$SLURM_PREFIX/sbin/slurmrestd is missing: give --slurm-prefix"
  plugin auth_jwt || fail "this Slurm has no auth/jwt plugin: it was built without libjwt"
  slurm_user=$(conf_value "$slurm_conf" SlurmUser)
  id "${slurm_user:=slurm}" >/dev/null 2>&1 || fail "slurm.conf's SlurmUser $slurm_user does not exist"
  cluster_name=$(conf_value "$slurm_conf" ClusterName)
  [[ -n $cluster_name ]] || fail "$slurm_conf gives no ClusterName"
  # Slurm itself takes it in small letters.
  cluster_name=${cluster_name,,}
  accounting=no
  [[ $(conf_value "$slurm_conf" AccountingStorageType) != accounting_storage/slurmdbd ]] || accounting=yes
}

# Tell whether this Slurm has a plugin, by its file's name.
plugin() {
  compgen -G "$SLURM_PREFIX/lib*/slurm/$1.so" >/dev/null
}

# What was changed and has yet to be put in force (daemons, units, services) is noted on disk: a run that fails in between
# leaves it to the next one, which finds nothing changed.
note() {
  touch "$STATE_DIRECTORY/$1-pending"
}
is_noted() {
  [[ -e $STATE_DIRECTORY/$1-pending ]]
}
forget() {
  rm -f "$STATE_DIRECTORY/$1-pending"
}

# Notes the services when a module of theirs changed.
install_files() {
  local file mode
  install -d -m 0755 "$INSTALL_DIRECTORY" "$INSTALL_DIRECTORY/slurm_gateway_node" "$SETTINGS_DIRECTORY" \
    "$STATE_DIRECTORY"
  for file in "${files[@]}"; do
    [[ $file != *.service && $file != *.timer && $file != *.path && $file != *.lua ]] || continue
    mode=0644
    [[ $file != *.sh ]] || mode=0755
    # install(1) would write into a script that the timer is just running.
    replace_file "$INSTALL_DIRECTORY/$file" "$mode" root:root <"$here/$file"
    [[ $replaced == no || $file == *.sh ]] || note services
  done
}

# The Python of the services: the one that is given, else a virtual environment with what requirements.txt pins.
make_python() {
  local venv=$INSTALL_DIRECTORY/venv pip=''
  PYTHON=$python
  if [[ -z $PYTHON ]]; then
    PYTHON=$venv/bin/python
    if ! cmp --silent "$INSTALL_DIRECTORY/requirements.txt" "$venv/requirements.txt"; then
      say 'making the virtual environment of the services'
      if python3 -c 'import ensurepip' 2>/dev/null; then
        python3 -m venv "$venv" || fail 'no virtual environment: give --python'
      else
        # Ubuntu has ensurepip in a package that ParallelCluster's images lack: the machine's own pip fills the environment.
        pip=$(python3 -c 'import os, pip; print(os.path.dirname(os.path.dirname(pip.__file__)))') ||
          fail 'this machine has neither ensurepip (python3-venv) nor pip (python3-pip): install one, or give --python'
        python3 -m venv --without-pip "$venv" || fail 'no virtual environment: give --python'
      fi
      retry 3 5 env ${pip:+"PYTHONPATH=$pip"} "$PYTHON" -m pip install --quiet --disable-pip-version-check \
        ${pip:+--ignore-installed} -r "$INSTALL_DIRECTORY/requirements.txt" ||
        fail 'the packages of requirements.txt cannot be installed: the reason stands above; or give --python'
      cp "$INSTALL_DIRECTORY/requirements.txt" "$venv/requirements.txt"
    fi
  fi
  "$PYTHON" -c 'import sys, boto3; sys.exit(sys.version_info < (3, 9))' ||
    fail "$PYTHON is no Python 3.9 or newer with boto3"
}

# The directories that the compute nodes share with this machine, separated by colons. Those under /opt hold programs.
find_shared_directories() {
  if [[ $shared_directories != auto ]]; then
    printf '%s' "${shared_directories//,/:}"
    return
  fi
  {
    awk '{ print $1 }' /var/lib/nfs/etab 2>/dev/null || true
    findmnt --raw --noheadings --output TARGET --types nfs,nfs4,lustre,ceph,beegfs,gpfs,wekafs || true
  } | grep -E '^(/[A-Za-z0-9._-]+)+$' | grep -v '^/opt/' | sort -u | paste -s -d : || true
}

# Notes the services when a setting changed.
write_settings() {
  local shared
  shared=$(find_shared_directories)
  [[ -n $shared ]] || say 'warning: no directory is shared with the compute nodes: no file comes in or goes out'
  if [[ -n $environment_file ]]; then
    replace_file "$SETTINGS_DIRECTORY/environment" 0600 root:root <"$environment_file"
    [[ $replaced == no ]] || note services
  elif [[ ! -f $SETTINGS_DIRECTORY/environment ]]; then
    replace_file "$SETTINGS_DIRECTORY/environment" 0600 root:root </dev/null
  fi
  load_environment "$SETTINGS_DIRECTORY/environment"
  region=${region:-${AWS_REGION:-}}
  if [[ -z $region ]]; then
    region=$(retry 5 3 instance_metadata placement/region) || fail 'no AWS region: give --region'
  fi
  if [[ -n $target_group_arn && -z $instance_id ]]; then
    instance_id=$(retry 5 3 instance_metadata instance-id) || fail 'no instance id: give --instance-id'
  fi
  export AWS_REGION=$region
  replace_file "$SETTINGS_DIRECTORY/settings" 0644 root:root <<TEXT
# Written by configure.sh; run it again to change this.
AWS_REGION=$region
# The AWS CLI of version 1 knows this one only.
AWS_DEFAULT_REGION=$region
KEYS_PARAMETER=$keys_parameter
EVENT_BUS=$event_bus
CLUSTER_NAME=$cluster_name
BUCKET=$bucket
HEAD_NODE_QUEUE_URL=$orders_queue
SHARED_DIRECTORIES=$shared
OUTPUT_MAX_BYTES=$output_max_bytes
OUTPUT_MAX_FILES=$output_max_files
OUTPUT_BANDWIDTH=$output_bandwidth
TARGET_GROUP_ARN=$target_group_arn
LISTS_TARGET_GROUP_ARN=$lists_target_group_arn
INSTANCE_ID=$instance_id
USERS_OBJECT=$users_object
PORT=$port
SLURMRESTD_ADDRESS=$(local_address)
ACCOUNTING=$accounting
SLURM_PREFIX=$SLURM_PREFIX
SLURM_ETC=$SLURM_ETC
SLURMDBD=$SLURMDBD
SYSTEMCTL=$SYSTEMCTL
TEXT
  [[ $replaced == no ]] || note services
  load_environment "$SETTINGS_DIRECTORY/settings"
}

create_users() {
  local user shell=/sbin/nologin
  [[ -x $shell ]] || shell=/usr/sbin/nologin
  for user in slurmrestd slurm-gateway; do
    if ! id "$user" >/dev/null 2>&1; then
      useradd --system --user-group --no-create-home --home-dir / --shell "$shell" "$user"
      say "created the user $user"
    fi
  done
  # No --system: tokens are for users from 1000 on. Its jobs are held and never reach a node, where it does not exist.
  if [[ -n $canary_user ]] && ! id "$canary_user" >/dev/null 2>&1; then
    useradd --user-group --no-create-home --home-dir / --shell "$shell" "$canary_user"
    say "created the user $canary_user"
  fi
}

# The HS256 key of this head node, for scontrol token. slurmctld maps the file, so that writing into it, even the
# same bytes, would kill it: it is made once, by rename, and then left alone.
make_jwt_key() {
  jwt_key=$(list_value "$(conf_value "$slurm_conf" AuthAltParameters)" jwt_key)
  if [[ -n $jwt_key && -s $jwt_key ]]; then
    say "slurm.conf names a key of its own, $jwt_key: it stays in use"
    return
  fi
  jwt_key=$JWT_KEY_FILE
  if [[ ! -s $jwt_key ]]; then
    (umask 077 && replace_file "$jwt_key" 0600 "$slurm_user" < <(openssl rand 32))
    say "made $jwt_key"
  fi
  chmod 0600 "$jwt_key"
  chown "$slurm_user" "$jwt_key"
}

# Where slurmctld writes the ends of jobs and the feed reads them, and where the feed leaves them for the files service.
# Names and paths of everyone's jobs are in there.
make_journal() {
  install -d -m 2770 -o "$slurm_user" -g slurm-gateway "$STATE_DIRECTORY/journal"
  install -d -m 2770 -o slurm-gateway -g root "$STATE_DIRECTORY/ends"
}

# Sets jobcomp_lines to what slurm.conf needs for the journal: nothing where somebody else uses Slurm's one hook for it.
choose_journal() {
  local there script=$SLURM_ETC/jobcomp.lua because=''
  jobcomp_lines=()
  there=$(conf_value "$slurm_conf" JobCompType)
  if [[ -n $there && $there != jobcomp/none && $there != jobcomp/lua ]]; then
    because="slurm.conf's JobCompType=$there stays"
  elif ! plugin jobcomp_lua; then
    because='this Slurm has no jobcomp/lua plugin'
  elif [[ -f $script ]] && ! grep --quiet "slurm-gateway's configure.sh" "$script"; then
    because="$script is somebody else's and stays"
  else
    replace_file "$script" 0644 root:root <"$here/jobcomp.lua"
    jobcomp_lines=(JobCompType=jobcomp/lua)
    return
  fi
  say "warning: $because: ends of jobs are read from the queue alone, and those of a longer pause of the feed are lost"
}

# Notes the daemons when a file changed.
set_configuration() {
  local file old types parameters lines
  for file in "$slurm_conf" "$slurmdbd_conf"; do
    [[ $file == "$slurm_conf" ]] || runs_slurmdbd || continue
    old=$(conf_value "$file" AuthAltParameters)
    [[ -z $(list_value "$old" jwks) ]] || say "$file names another jwks: $JWKS_FILE takes its place"
    types=$(list_with "$(conf_value "$file" AuthAltTypes)" auth/jwt)
    parameters=$(list_without "$old" jwt_key= jwks=)
    lines=("AuthAltTypes=$types" "AuthAltParameters=${parameters:+$parameters,}jwt_key=$jwt_key,jwks=$JWKS_FILE")
    if [[ $file == "$slurmdbd_conf" ]]; then
      # slurmdbd has a PrivateData of its own: without it /slurmdb shows everyone's finished jobs.
      lines+=("PrivateData=$(list_with "$(conf_value "$file" PrivateData)" jobs)")
    else
      lines+=("${jobcomp_lines[@]}")
      # By its marker there a job is known that slurmctld has forgotten, and that nobody else learned of.
      [[ $accounting != yes ]] ||
        lines+=("AccountingStoreFlags=$(list_with "$(conf_value "$file" AccountingStoreFlags)" job_extra)")
      [[ ,$(conf_value "$file" PrivateData), == *,jobs,* ]] ||
        say "warning: slurm.conf's PrivateData has no \"jobs\": every user sees every other's jobs"
    fi
    set_conf_lines "$file" "${lines[@]}"
    if [[ $replaced == yes ]]; then
      say "set token keys and journal in $file"
      note daemons
    fi
  done
}

# The address by which this machine itself reaches slurmrestd.
local_address() {
  case $listen_address in
    0.0.0.0) echo 127.0.0.1 ;;
    ::) echo ::1 ;;
    *) echo "$listen_address" ;;
  esac
}

slurmctld_answers() {
  "$SLURM_PREFIX/bin/scontrol" ping 2>/dev/null | grep -q 'is UP'
}

# New keys need a reconfigure, new authentication a restart, and compute nodes the changed file.
apply_to_daemons() {
  if is_noted daemons; then
    if runs_slurmdbd; then
      "$SYSTEMCTL" restart slurmdbd.service || fail 'slurmdbd did not restart: see journalctl -u slurmdbd'
    fi
    "$SYSTEMCTL" restart slurmctld.service || fail 'slurmctld did not restart: see journalctl -u slurmctld'
    wait_for 60 slurmctld_answers || fail 'slurmctld does not answer: see journalctl -u slurmctld'
    rm -f "$STATE_DIRECTORY/reload-pending"
    "$SLURM_PREFIX/bin/scontrol" reconfigure || fail 'scontrol reconfigure failed'
    forget daemons
  else
    retry 12 5 "$INSTALL_DIRECTORY/follow-keys.sh" || fail 'the public keys are not in force: the reason stands above'
  fi
}

# Who may exchange packets with slurmrestd. This machine's own addresses are among them because slurmctld is
# reached by the one in slurm.conf; the load balancer's subnets hold nothing else.
allowed_addresses() {
  local host address
  printf 'localhost'
  ip -o address show scope global | awk '{ sub("/.*", "", $4); printf " %s", $4 }'
  # A slurmdbd elsewhere is asked by slurmrestd itself.
  host=$(conf_value "$slurm_conf" AccountingStorageHost)
  if [[ -n $host ]]; then
    address=$(getent ahosts "$host" | awk '$1 !~ /^127\./ { print $1; exit }') || true
    printf '%s' "${address:+ $address}"
  fi
  printf '%s\n' "${allow_cidrs:+ ${allow_cidrs//,/ }}"
}

openapi_plugins() {
  plugin openapi_slurmctld || fail 'this Slurm has no openapi/slurmctld plugin: 23.11 or newer is needed'
  printf 'slurmctld'
  if plugin openapi_slurmdbd && [[ $accounting == yes ]]; then
    printf ',slurmdbd'
  fi
}

# Notes the units when one of them changed.
install_units() {
  local unit file own_port own_memory threads listen=$listen_address
  [[ $listen != *:* ]] || listen="[$listen]"
  for unit in "${files[@]}" slurmrestd-lists.service; do
    [[ $unit == *.service || $unit == *.timer || $unit == *.path ]] || continue
    file=$unit own_port=$port own_memory=$memory_max threads=20
    # A list of all jobs takes memory by the job: who asks for one shall not end the requests of the others.
    if [[ $unit == slurmrestd-lists.service ]]; then
      [[ -n $lists_target_group_arn ]] || continue
      file=slurmrestd.service own_port=$((port + 1)) own_memory=$lists_memory_max threads=2
    fi
    # The addresses are joined beforehand: a failure inside sed's line would go unnoticed.
    allowed=$(allowed_addresses)
    writable=${SHARED_DIRECTORIES:+ -${SHARED_DIRECTORIES//:/ -}}
    plugins=$(openapi_plugins)
    replace_file "/etc/systemd/system/$unit" 0644 root:root < <(
      sed -e "s|@SLURM_PREFIX@|$SLURM_PREFIX|g" -e "s|@SLURM_ETC@|$SLURM_ETC|g" -e "s|@PORT@|$own_port|g" -e "s|@THREADS@|$threads|g" \
        -e "s|@LISTEN_ADDRESS@|$listen|g" -e "s|@MEMORY_MAX@|$own_memory|g" \
        -e "s|@MAX_CONNECTIONS@|$max_connections|g" -e "s|@OPENAPI_PLUGINS@|$plugins|g" \
        -e "s|@ALLOWED_ADDRESSES@|$allowed|g" -e "s|@PYTHON@|$PYTHON|g" -e "s|@SLURM_USER@|$slurm_user|g" \
        -e "s|@SHARED_DIRECTORIES@|$writable|g" "$here/$file"
    )
    [[ $replaced == no ]] || note units
  done
}

start_units() {
  local units=(slurmrestd.service "${SERVICES[@]}" slurm-gateway-keys.timer slurm-gateway-credentials.timer)
  if [[ -n $lists_target_group_arn ]]; then
    units+=(slurmrestd-lists.service)
  else
    "$SYSTEMCTL" disable --now --quiet slurmrestd-lists.service 2>/dev/null || true
  fi
  if [[ -n $target_group_arn ]]; then
    units+=(slurm-gateway-register.timer)
  else
    "$SYSTEMCTL" disable --now --quiet slurm-gateway-register.timer 2>/dev/null || true
  fi
  local users=(slurm-gateway-users.timer slurm-gateway-users-changed.path slurm-gateway-users.path)
  if [[ -n $users_object ]]; then
    units+=("${users[@]}")
  else
    "$SYSTEMCTL" disable --now --quiet "${users[@]}" 2>/dev/null || true
  fi
  if is_noted units; then
    "$SYSTEMCTL" daemon-reload
    "$SYSTEMCTL" enable --quiet "${units[@]}"
    "$SYSTEMCTL" restart "${units[@]}" || fail 'a unit did not start: see journalctl -u slurmrestd and systemctl --failed'
    forget units
    forget services
    say "slurmrestd is restricted to:$(sed -n 's/^IPAddressAllow=/ /p' /etc/systemd/system/slurmrestd.service)"
  else
    "$SYSTEMCTL" enable --quiet "${units[@]}"
    "$SYSTEMCTL" start "${units[@]}"
    # What they read at their start only.
    if is_noted services; then
      "$SYSTEMCTL" restart "${SERVICES[@]}" || fail "a service did not start: see journalctl -u ${SERVICES[0]}"
      forget services
    fi
  fi
}

# A request with a real token, all the way to slurmctld: ping would answer to any token.
slurmrestd_answers() {
  local base token version
  base=$(local_address)
  [[ $base != *:* ]] || base="[$base]"
  token=$("$SLURM_PREFIX/bin/scontrol" token username=slurmrestd lifespan=30) || return 1
  token=${token#SLURM_JWT=}
  # The token goes in on standard input: a command line is everyone's to read.
  version=$(curl --silent --max-time 10 --config - "http://$base:$port/openapi/v3" <<<"header = \"X-SLURM-USER-TOKEN: $token\"" |
    grep --only-matching 'v0[.]0[.][0-9][0-9]*' | sort --version-sort | tail -n 1) || return 1
  curl --silent --max-time 10 --fail --output /dev/null --config - "http://$base:$port/slurm/$version/diag/" <<<"header = \"X-SLURM-USER-TOKEN: $token\""
}

check_arguments
check_machine
install_files
make_python
write_settings
create_users
make_jwt_key
make_journal
choose_journal
retry 12 5 "$INSTALL_DIRECTORY/follow-keys.sh" --write-only || fail 'no public keys: the reason stands above'
set_configuration
apply_to_daemons
install_units
start_units
if [[ -n $target_group_arn ]]; then
  retry 6 5 "$INSTALL_DIRECTORY/register-target.sh" || fail 'not registered in the target group'
  say "registered $instance_id:$port in the target group"
fi
if [[ -n $users_object ]]; then
  retry 6 5 "$SYSTEMCTL" start slurm-gateway-users.service ||
    fail 'the users cannot be published: see journalctl -u slurm-gateway-users'
  say "published the users who may have tokens to $users_object"
fi
wait_for 30 slurmrestd_answers || fail 'slurmrestd does not answer a request: see journalctl -u slurmrestd'
say "done: slurmrestd answers on $listen_address:$port"
