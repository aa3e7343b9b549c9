#!/bin/sh
# The host knobs that matter to Cutline on a server of its own: looks at them, sets those that can be set at run time, and puts
# them back.
#
#     tuning/host.sh [-c CONFIG]... [-k KNOB]... check|apply|undo
#
#   check   lists every knob: value now, value wanted, why, the command; exit code 1 if one is not as wanted
#   apply   sets what can be set at run time, after writing the old value to the state file; exit code 1 if one could not be set
#   undo    puts back what apply changed, exactly; exit code 1 if something could not be put back
#   -c      a configuration of Cutline, over config/default.toml: which cores its lanes have, how large the live logs are
#   -k      only the knobs whose names match this shell pattern
#
# CUTLINE_TUNING_STATE  the state file, /run/cutline-tuning.state: what is set at run time does not outlive a boot either
# CUTLINE_TUNING_ROOT   stands before /proc, /sys and /run, for tests
#
# Nothing but the files listed by check is written, and nothing is kept over a boot: the table in README.md says where that goes.
set -eu

root=${CUTLINE_TUNING_ROOT:-}
state=${CUTLINE_TUNING_STATE:-$root/run/cutline-tuning.state}
here=$(cd "$(dirname "$0")" && pwd)
tab=$(printf '\t')

# Idle states that take longer to leave than this cost more than they save, us.
IDLE_EXIT_MAX_US=10
# Dirty pages at which the kernel begins to write, and at which it stops writers, bytes: small, so that the keeper's flush of a
# few MiB never waits behind gigabytes of somebody else's.
DIRTY_BACKGROUND_BYTES=67108864
DIRTY_BYTES=268435456

usage() {
    sed -n '5,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

configs=$here/../config/default.toml
patterns=
while getopts c:k: option; do
    case $option in
        c)
            [ -r "$OPTARG" ] || { echo "host.sh: cannot read $OPTARG" >&2; exit 2; }
            configs="$configs
$OPTARG"
            ;;
        k) patterns="$patterns
$OPTARG" ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || usage
action=$1
case $action in check | apply | undo) ;; *) usage ;; esac

# What the configurations say, later ones over earlier ones; [[lane]] replaces those before it as a whole.
settings() {
    echo "$configs" | while IFS= read -r file; do
        echo '#file'
        cat "$file"
    done | awk '
        /^#file/ { fresh = 1; next }
        /^[ \t]*\[/ {
            section = $0
            gsub(/[][ \t]|#.*/, "", section)
            if (section == "lane" && fresh) { cores = ""; fresh = 0 }
            next
        }
        /^[ \t]*[a-z_]+[ \t]*=/ {
            key = value = $0
            sub(/[ \t]*=.*/, "", key)
            sub(/^[ \t]*/, "", key)
            sub(/^[^=]*=[ \t]*/, "", value)
            if (value ~ /^"/) { sub(/^"/, "", value); sub(/".*/, "", value) } else gsub(/[ \t]|#.*/, "", value)
            gsub(/_/, "", value)
            if (section == "lane" && key == "core") cores = cores " " value
            of[section "." key] = value
        }
        END {
            print "cores=\"" cores "\""
            printf "live_bytes=%.0f\n", 3 * (of["log.live_segments"] + 1) * of["log.segment_bytes"]
            print "connections=" of["ingest.connections_max"] + 0
        }'
}
eval "$(settings)"
# shellcheck disable=SC2086 # one space between two
cores=$(echo $cores)

# --- the value of a file ---------------------------------------------------------------------------------------------

# One line; of several choices the one in brackets.
value_of() {
    [ -r "$1" ] || return 1
    value=$(tr -s '\t\n ' '   ' <"$1" 2>/dev/null) || return 1
    case $value in *\[*\]*) value=${value#*\[} && value=${value%%\]*} ;; esac
    # Without the space around it.
    # shellcheck disable=SC2086
    echo $value
}

# 0-3,5 as 0 1 2 3 5.
cores_in() {
    echo "$1" | tr ',' '\n' | while IFS=- read -r first last; do
        case $first in '' | *[!0-9]*) continue ;; esac
        while [ "$first" -le "${last:-$first}" ]; do
            printf '%s ' "$first"
            [ -n "$last" ] || break
            first=$((first + 1))
        done
    done
}

# The cores of $1 that are ($3 = in) or are not ($3 = out) among those of $2, with commas.
select_cores() {
    for core in $1; do
        case " $2 " in *" $core "*) found=in ;; *) found=out ;; esac
        [ "$found" = out ] && [ "$3" = out ] && printf '%s,' "$core"
        [ "$found" = in ] && [ "$3" = in ] && printf '%s,' "$core"
        true
    done | sed 's/,$//'
}

# 0,1,2,5 as the kernel writes it: 0-2,5.
spelled() {
    echo "$1" | tr ',' '\n' | awk '
        function close_range() { if (first != "") { printf "%s%s", comma, first == last ? first : first "-" last; comma = "," } }
        first != "" && $1 == last + 1 { last = $1; next }
        { close_range(); first = last = $1 }
        END { close_range(); print "" }'
}

# How a fact stands: 0 if $1 is at least $2, 1 if not, 2 if it is not known.
at_least() {
    case $1 in
        '') echo 2 ;;
        unlimited) echo 0 ;;
        *) if [ "$1" -ge "$2" ]; then echo 0; else echo 1; fi ;;
    esac
}

# --- what is done with a knob ----------------------------------------------------------------------------------------

wrong=0

chosen() {
    [ -n "$patterns" ] || return 0
    while IFS= read -r pattern; do
        # shellcheck disable=SC2254 # it is a pattern
        case $1 in $pattern) [ -n "$pattern" ] && return 0 ;; esac
    done <<END
$patterns
END
    return 1
}

line() { printf '%-9s %-28s %-22s want %-20s %s\n' "$1" "$2" "$3" "$4" "$5"; }
command_line() { printf '%-9s %s\n' '' "$1"; }

# A file of the kernel that may be written: NAME PATH WANTED WHY. WANTED: values with | between them, the first is set;
# or <=N or >=N, where N is set.
knob() {
    chosen "$1" || return 0
    name=$1 path=$root$2 why=$4
    set_to=${3%%|*} && set_to=${set_to#[<>]=}
    if ! now=$(value_of "$path"); then
        [ "$action" = apply ] || line unknown "$name" "not to be read" "$3" "$why ($path)"
        return 0
    fi
    if fits "$now" "$3"; then
        [ "$action" = apply ] || line ok "$name" "$now" "$3" "$why"
        return 0
    fi
    if [ "$action" = apply ]; then
        set_value "$name" "$path" "$now" "$set_to"
    else
        wrong=1
        line WRONG "$name" "$now" "$3" "$why"
        command_line "echo $set_to > $path"
    fi
}

fits() {
    case $2 in
        '<='*) [ "$1" -le "${2#<=}" ] 2>/dev/null ;;
        '>='*) [ "$1" -ge "${2#>=}" ] 2>/dev/null ;;
        *) case "|$2|" in *"|$1|"*) true ;; *) false ;; esac ;;
    esac
}

# Something that only the boot, a service file or the administrator can set: NAME NOW WANTED WHY COMMAND, and 0 if it is as
# wanted, 1 if not, 2 if it cannot be read.
fact() {
    chosen "$1" && [ "$action" = check ] || return 0
    case $6 in
        0) line ok "$1" "$2" "$3" "$4" ;;
        2) line unknown "$1" "not to be read" "$3" "$4" ;;
        *)
            wrong=1
            line WRONG "$1" "$2" "$3" "$4"
            command_line "$5"
            ;;
    esac
}

set_value() {
    if ! [ -w "$2" ]; then
        wrong=1
        echo "no rights to set $1: $2 cannot be written; run this as root"
        return 0
    fi
    # Writing a limit in bytes takes back the one in percent, and only that one can be put back.
    undo_path=$2 undo_value=$3
    case $2 in
        */vm/dirty_*bytes)
            if [ "$3" = 0 ]; then
                undo_path=${2%bytes}ratio
                undo_value=$(value_of "$undo_path")
            fi
            ;;
    esac
    # The first old value is the one to go back to, and it is on record before anything changes.
    recorded=yes
    if ! { [ -f "$state" ] && grep -qF "$undo_path$tab" "$state"; }; then
        recorded=no
        printf '%s\t%s\n' "$undo_path" "$undo_value" >>"$state" || { wrong=1; echo "cannot write the state file $state: $1 was left as it is"; return 0; }
    fi
    if write_value "$2" "$4"; then
        echo "set $1 to $4 (was $3)"
    else
        wrong=1
        [ "$recorded" = yes ] || forget "$undo_path"
        echo "refused: $1 stays at $3, the kernel does not take $4 for $2"
    fi
}

# Taken by the kernel, and there when it is read again.
write_value() {
    { printf '%s\n' "$2" >"$1"; } 2>/dev/null || return 1
    [ "$(value_of "$1")" = "$2" ]
}

forget() {
    grep -vF "$1$tab" "$state" >"$state.new" || true
    mv "$state.new" "$state"
    [ -s "$state" ] || rm -f "$state"
}

undo() {
    if ! [ -f "$state" ]; then
        echo "nothing to undo: there is no $state"
        return 0
    fi
    # Last changed, first put back.
    lines=$(awk '{ line[NR] = $0 } END { for (at = NR; at > 0; at--) print line[at] }' "$state")
    while IFS=$tab read -r path value; do
        if write_value "$path" "$value"; then
            echo "put back $path to $value"
            forget "$path"
        else
            wrong=1
            echo "cannot put back $path to $value: $([ -w "$path" ] && echo 'the kernel does not take it' || echo 'it cannot be written; run this as root')"
        fi
    done <<END
$lines
END
}

# --- the knobs -------------------------------------------------------------------------------------------------------

if [ "$action" = undo ]; then
    undo
    exit "$wrong"
fi
# shellcheck source=knobs.sh
. "$here/knobs.sh"
exit "$wrong"
