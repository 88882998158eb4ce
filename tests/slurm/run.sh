#!/usr/bin/env bash
# A sweep as an array on a real Slurm of one node: munged, slurmctld and slurmd are started here on free ports, a task is made
# to fail, the merge names it, it is submitted again, and the result is that of a sweep without Slurm. TAP, for prove.
# Skipped, with the reason, where munge and Slurm are not installed or their daemons cannot run.
set -uo pipefail
cd "$(dirname "$0")/../.."
fabsim=${FABSIM:-$PWD/build/fabsim}
PATH=$PATH:/usr/sbin:/sbin

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}
for program in munged mungekey slurmctld slurmd sbatch scontrol sqlite3; do
    command -v "$program" >/dev/null || skip "$program is not installed (scripts/install-deps.sh test)"
done
[ "$(id -u)" -eq 0 ] || skip "slurmd starts jobs only as root"

dir=$(mktemp -d)
chmod 755 "$dir"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    rm -rf "$dir"
}
trap finish EXIT

# Two ports that nobody listens on.
ports=($(python3 -c '
import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))'))
host=$(hostname -s)
mkdir -p "$dir"/{munge,state,spool}
chmod 700 "$dir/munge"
export MUNGE_SOCKET=$dir/munge.socket SLURM_CONF=$dir/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$MUNGE_SOCKET
CredType=cred/munge
SlurmUser=root
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SchedulerParameters=sched_interval=2,defer_batch
MaxArraySize=4
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
END

mungekey -c -k "$dir/munge/key" || skip "mungekey makes no key"
munged -F -S "$MUNGE_SOCKET" --key-file "$dir/munge/key" --pid-file "$dir/munge/pid" --log-file "$dir/munge/log" \
    --seed-file "$dir/munge/seed" --force 2>"$dir/munged.err" &
pids+=($!)
slurmctld -D >"$dir/slurmctld.out" 2>&1 &
pids+=($!)
slurmd -D >"$dir/slurmd.out" 2>&1 &
pids+=($!)
up=no
for _ in $(seq 60); do
    sinfo -h -o %T 2>/dev/null | grep -qE 'idle|mixed|allocated' && up=yes && break
    sleep 0.5
done
[ "$up" = yes ] || skip "Slurm's daemons do not come up here: $(tail -n 1 -q "$dir"/slurmctld.log "$dir"/slurmd.out 2>/dev/null | tr '\n' ' ')"

count=0
check() { # NAME COMMAND...
    local name=$1
    shift
    count=$((count + 1))
    if "$@"; then echo "ok $count - $name"; else
        echo "not ok $count - $name"
        cat "$dir"/out* "$dir"/r.db.*.log 2>/dev/null | sed 's/^/# /' | tail -n 20
    fi
}
merged() { # until the merge has spoken: it is the last job
    for _ in $(seq 120); do
        [ -z "$(squeue -h 2>/dev/null)" ] && [ -s "$dir/r.db.merge.log" ] && return 0
        sleep 0.5
    done
    return 1
}
rows() {
    sqlite3 "$1" 'SELECT hash, version, topology, trace, settings, status, exit_status, message, result FROM points ORDER BY hash;
                  SELECT * FROM members ORDER BY sweep, number'
}
same() { [ "$(rows "$1")" = "$(rows "$2")" ]; }

cp tests/slurm/sweep.json "$dir/sweep.json"
sed -i "s|@ROOT@|$PWD|g" "$dir/sweep.json"
# The task that fails: its database cannot be made, since a directory has its name.
mkdir "$dir/r.db.shard-4-of-6"

cd "$dir" || exit 1
"$fabsim" sweep sweep.json -o r.db --slurm --tasks 6 --jobs 1 >out1 2>&1
check "submitted" test $? -eq 0
check "two arrays of at most MaxArraySize - 1 tasks" test "$(grep -c '^array ' out1)" -eq 2
check "the merge ran" merged
check "the failed task is named" grep -qx 'failed tasks: 4' r.db.merge.log
check "the others' points are there" test "$(sqlite3 r.db 'SELECT count(*) FROM results WHERE status = "ok"')" -eq 20
rmdir r.db.shard-4-of-6
sed -n '/to submit them again/,$p' r.db.merge.log | tail -n +2 >again.sh
rm r.db.merge.log
bash again.sh >out2 2>&1
check "submitted again as the merge says" test $? -eq 0
check "only the failed task" grep -q ': 1 tasks from 3' out2
check "the merge ran again" merged
check "all are complete" grep -q 'all 6 tasks are complete' r.db.merge.log
"$fabsim" sweep sweep.json -o direct.db --quiet --jobs 1
check "as a sweep without Slurm" same r.db direct.db
echo "1..$count"
