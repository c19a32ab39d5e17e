# shellcheck shell=bash
# Reading slurm.conf and slurmdbd.conf, and keeping lines of ours at the end of them.
#
# Slurm takes the last of several values, so lines at the very end hold against what stands before them and in
# included files (CustomSlurmSettings, say), and those are left as they are. ParallelCluster writes slurm.conf and slurmdbd.conf once, when the cluster is made; an update
# rewrites only the files that these two include. What is added here therefore stays.

readonly MARK='# slurm-gateway:'

# The lines of a configuration file with those of the files it includes in their places, up to our own.
expanded() {
  local line path
  while read -r line || [[ -n $line ]]; do
    if [[ $line == "$MARK"* ]]; then
      return
    elif [[ ${line,,} =~ ^include[[:space:]]+ ]]; then
      path=${line#* }
      path=${path//[[:space:]]/}
      [[ $path == /* ]] || path=$SLURM_ETC/$path
      if [[ -r $path ]]; then
        expanded "$path"
      fi
    else
      printf '%s\n' "$line"
    fi
  done <"$1"
}

# The value that a file gives a parameter without our lines; nothing where it gives none. Names have no case.
conf_value() {
  local file=$1 name=${2,,} line value=''
  while read -r line; do
    line=${line%%#*}
    if [[ ${line,,} =~ ^[[:space:]]*"$name"[[:space:]]*= ]]; then
      value=${line#*=}
      value=${value//[[:space:]]/}
    fi
  done < <(expanded "$file")
  printf '%s' "$value"
}

# LIST (comma-separated) with WORD in it, at the end unless it is there already.
list_with() {
  local list=$1 word=$2
  if [[ ,$list, == *",$word,"* ]]; then
    printf '%s' "$list"
  else
    printf '%s' "${list:+$list,}$word"
  fi
}

# LIST without the words that begin with one of the PREFIXES.
list_without() {
  local list=$1 word prefix kept='' words
  shift
  IFS=, read -r -a words <<<"$list"
  for word in "${words[@]}"; do
    for prefix in "$@"; do
      [[ $word == "$prefix"* ]] && continue 2
    done
    kept=${kept:+$kept,}$word
  done
  printf '%s' "$kept"
}

# The value of NAME=VALUE in a comma-separated list.
list_value() {
  local word words
  IFS=, read -r -a words <<<"$1"
  for word in "${words[@]}"; do
    if [[ $word == "$2="* ]]; then
      printf '%s' "${word#*=}"
    fi
  done
}

# Put NAME=VALUE lines at the end of FILE under our mark, in place of what stands there. Sets `replaced` to yes
# when the file changed.
set_conf_lines() {
  local file=$1 body mode owner
  shift
  # Everything from our mark on is ours.
  body=$(sed "/^$MARK/,\$d" "$file")
  mode=$(stat --format=%a "$file")
  owner=$(stat --format=%u:%g "$file")
  replace_file "$file" "$mode" "$owner" < <(
    printf '%s\n\n%s %s\n' "$body" "$MARK" 'written by its configure.sh, which merges in what stands above'
    printf '%s\n' "$@"
  )
}
