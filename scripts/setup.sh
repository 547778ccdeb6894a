# shellcheck shell=bash
# Brings this checkout to where .venv/bin/sysdash works. Sourced by ./run and ./check, with ROOT set
# to the checkout. All it says goes to standard error: `./run count --json >file` stays clean.

VENV=$ROOT/.venv
# The distribution's Python, because bcc's Python module is made for that one alone.
PYTHON=/usr/bin/python3
OLDEST_PYTHON=3.11

# What is needed, and what each package manager calls it (several packages: joined by commas; apt
# takes the first that it knows of those joined by bars).
# bcc is never taken from PyPI: the package of that name there is another program.
PACKAGES='
need    apt-get         dnf             pacman      zypper
python  python3         python3         python      python3
venv    python3-venv    python3         python      python3
bcc     python3-bpfcc   python3-bcc     python-bcc  python3-bcc
strace  strace          strace          strace      strace
gcc     gcc,g++,libc6-dev gcc,gcc-c++,glibc-static gcc gcc,gcc-c++,glibc-devel-static
perf    linux-perf|linux-tools-generic perf perf    perf
zsh     zsh             zsh             zsh         zsh
fish    fish            fish            fish        fish
man     man-db          man-db          man-db      man
mandoc  mandoc          mandoc          mandoc      mandoc
influxd influxdb        influxdb        influxdb    influxdb
chromium chromium|chromium-browser chromium chromium chromium
'
declare -A NEEDS=(
    [run]='python venv bcc'
    [dev]='python venv bcc strace gcc perf zsh fish man mandoc influxd chromium'
)
SYSTEMD=/run/systemd/system # is there where systemd runs

say() {
    printf 'sysdash: %s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n -- "$@"; fi
}

# step WHAT COMMAND...: run a command and show only that it runs; if it fails, its own reason.
step() {
    local what=$1 log=$ROOT/set-up.log ticker='' start=$SECONDS status=0
    shift
    rm -f -- "$log"
    say "$what ..."
    if [[ -t 2 ]]; then
        (
            trap - EXIT
            while sleep 1; do printf '\rsysdash: ... %d s ' $((SECONDS - start)) >&2; done
        ) &
        ticker=$!
        # shellcheck disable=SC2064 # the ticker of now
        trap "kill $ticker 2>/dev/null || true" EXIT
    fi
    "$@" >"$log" 2>&1 </dev/null 9<&- || status=$?
    if [[ $ticker ]]; then
        kill "$ticker" 2>/dev/null || true
        wait "$ticker" 2>/dev/null || true
        trap - EXIT
        printf '\r\033[K' >&2
    fi
    if ((status)); then
        fail "$what failed: $(reason_in "$log") (all of it: $log)"
    fi
    rm -f -- "$log"
    say "$what: done in $((SECONDS - start)) s"
}

# The line of a log that says why: pip's broken connection, which it hides among warnings; else the
# last that a tool or Python calls an error and that says more than "something failed"; else the last.
reason_in() {
    awk '
        NF { last = $0 }
        /connection broken by/ { broken = $0; sub(/.*connection broken by /, "", broken) }
        /^ *(E:|ERROR:|error:|[A-Za-z.]*Error:) / &&
            !/subprocess-exited-with-error|metadata-generation-failed/ { error = $0 }
        END {
            reason = broken ? "no package index: " broken : error ? error : last
            sub(/^ */, "", reason)
            print reason ? reason : "no reason given"
        }' "$1"
}

package_manager() {
    local manager
    for manager in apt-get dnf pacman zypper; do
        if command -v "$manager" >/dev/null; then
            printf '%s' "$manager"
            return
        fi
    done
    return 1
}

# packages_for MANAGER NEED...: the names of the packages, each once.
packages_for() {
    local manager=$1
    shift
    awk -v manager="$manager" -v needs="$*" '
        $1 == "need" { for (i = 1; i <= NF; i++) if ($i == manager) column = i }
        index(" " needs " ", " " $1 " ") {
            n = split($column, names, ",")
            for (i = 1; i <= n; i++) if (!seen[names[i]]++) print names[i]
        }' <<<"$PACKAGES"
}

has() {
    case $1 in
        python) [[ -x $PYTHON ]] ;;
        venv) "$PYTHON" -c 'import ensurepip, venv' ;;
        bcc) "$PYTHON" -c 'from bcc import BPF' ;;
        chromium) command -v chromium || command -v chromium-browser ;;
        *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing_of() {
    local need
    for need in "$@"; do
        has "$need" || printf '%s ' "$need"
    done
}

apt_install() {
    # Waits for another apt to finish, asks nothing, restarts no service.
    local apt=(env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -o DPkg::Lock::Timeout=300)
    if apt_names "$@" && as_root "${apt[@]}" install --yes --no-install-recommends "${NAMES[@]}"; then
        return
    fi
    # No package lists yet, or lists so old that their files are gone.
    as_root "${apt[@]}" update && apt_names "$@" &&
        as_root "${apt[@]}" install --yes --no-install-recommends "${NAMES[@]}"
}

# apt_names PACKAGE...: put into NAMES what they are called here.
apt_names() {
    local package name
    NAMES=()
    for package in "$@"; do
        for name in ${package//|/ }; do
            if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
                NAMES+=("$name")
                continue 2
            fi
        done
        printf 'E: apt knows no package %s\n' "$package" >&2
        return 1
    done
}

# never_started SERVICE COMMAND...: run a command that installs a service, which Debian's packages
# would otherwise start, at once and with the machine. Tests start it themselves.
never_started() {
    local service=$1 status=0
    shift
    if [[ ! -d $SYSTEMD ]]; then
        "$@"
        return
    fi
    as_root systemctl mask "$service"
    "$@" || status=$?
    as_root systemctl unmask "$service"
    ((status)) || as_root systemctl disable "$service"
    return $status
}

install_packages() {
    local manager=$1
    shift
    case $manager in
        apt-get)
            case " $* " in
                *" influxdb "*) never_started influxdb.service apt_install "$@" ;;
                *) apt_install "$@" ;;
            esac
            ;;
        dnf) as_root dnf install --assumeyes --setopt=install_weak_deps=False "$@" ;;
        pacman) as_root pacman -S --needed --noconfirm "$@" ;;
        zypper) as_root zypper --non-interactive install --no-recommends "$@" ;;
    esac
}

provide_packages() {
    local missing packages manager
    missing=$(missing_of "$@")
    if [[ $missing ]]; then
        manager=$(package_manager) ||
            fail "needed and missing: ${missing% }; install them (no apt-get, dnf, pacman or zypper here)"
        # shellcheck disable=SC2086 # a list of words
        mapfile -t packages < <(packages_for "$manager" $missing)
        if ((EUID != 0)); then
            command -v sudo >/dev/null ||
                fail "needs the packages ${packages[*]}: run ./run as root once, or install sudo"
            sudo -n true 2>/dev/null || sudo -v || fail "sudo did not let ${packages[*]} be installed"
        fi
        step "installing ${packages[*]} with $manager" install_packages "$manager" "${packages[@]}"
        # shellcheck disable=SC2086
        missing=$(missing_of $missing)
        [[ ! $missing ]] || fail "still missing after installing ${packages[*]}: ${missing% }"
    fi
    "$PYTHON" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" ||
        fail "needs Python $OLDEST_PYTHON or newer from the distribution; $PYTHON is $("$PYTHON" -V)"
}

# Is .venv a whole virtual environment, of this very place and this very Python, that sees bcc?
venv_is_good() {
    local config real
    [[ -f $VENV/pyvenv.cfg ]] || return
    config=$(<"$VENV/pyvenv.cfg")$'\n'
    real=$(readlink -f "$PYTHON")
    [[ $config == *"command = "*" $VENV"$'\n'* && $config == *"executable = $real"$'\n'* &&
        $config == *"include-system-site-packages = true"$'\n'* ]] &&
        "$VENV/bin/python" -I -c 'import pip' >/dev/null 2>&1
}

make_venv() {
    rm -rf -- "$VENV" && "$PYTHON" -m venv --system-site-packages "$VENV"
}

install_project() {
    # From within, so that a checkout whose path has brackets or commas is no requirement syntax.
    cd "$ROOT" && "$VENV/bin/python" -m pip install --no-input --progress-bar off \
        --disable-pip-version-check --root-user-action ignore --editable "$1"
}

provide_venv() {
    local level=$1 extras=''
    [[ $level == run ]] || extras="[$level]"
    if [[ -e $VENV && ! -f $VENV/pyvenv.cfg && $(ls -A "$VENV") ]]; then
        fail "$VENV is there but is no virtual environment: move it away"
    fi
    if [[ -e $VENV && ! -w $VENV ]]; then
        fail "$VENV belongs to $(stat -c %U "$VENV"): remove it, or run this as that user"
    fi
    if ! venv_is_good; then
        step "making a virtual environment in .venv" make_venv
    fi
    step "installing sysdash${extras:+ and what its checks need} into .venv" install_project ".$extras"
}

# Everything that a finished set-up depends on. No process is started for it but readlink.
fingerprint() {
    printf '%s\n' "$ROOT" "$(readlink -f "$PYTHON")" "$(<"$ROOT/pyproject.toml")" \
        "$(<"$ROOT/scripts/setup.sh")"
}

is_set_up() {
    local stamp need
    [[ -f $VENV/set-up-$1 && -x $VENV/bin/sysdash ]] || return
    stamp=$(<"$VENV/set-up-$1")
    # Its first line is where bcc was found.
    [[ -e ${stamp%%$'\n'*} && ${stamp#*$'\n'} == "$(fingerprint)" ]] || return
    for need in ${NEEDS[$1]}; do
        case $need in
            python | venv | bcc) ;;
            *) has "$need" || return ;;
        esac
    done
}

# set_up LEVEL: what ./run needs (run), or what ./check needs on top (dev). Does nothing when done.
set_up() {
    local level=$1 done_level
    if is_set_up "$level"; then return; fi
    exec 9<"$ROOT"
    if ! flock --nonblock 9; then
        say "waiting for another set-up of this checkout to end"
        flock 9
    fi
    if ! is_set_up "$level"; then
        [[ -w $ROOT ]] || fail "cannot write to $ROOT: copy the checkout to a place of your own"
        # shellcheck disable=SC2086 # a list of words
        provide_packages ${NEEDS[$level]}
        rm -f -- "$VENV"/set-up-*
        provide_venv "$level"
        for done_level in run "$level"; do
            {
                "$PYTHON" -c 'import bcc; print(bcc.__file__)'
                fingerprint
            } >"$VENV/set-up.new"
            mv -- "$VENV/set-up.new" "$VENV/set-up-$done_level"
        done
        if ((EUID == 0)); then
            # After `sudo ./run` in a user's checkout, ./run can mend it without sudo.
            chown -R --no-dereference --reference="$ROOT" -- "$VENV"
        fi
    fi
    exec 9<&-
}
