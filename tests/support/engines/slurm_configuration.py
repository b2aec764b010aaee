"""The configuration of a SLURM of two nodes on one host, with fake GPUs and two partitions, for tests."""

from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
GPUS_PER_NODE = 2
# The nodes promise more than the host may have, so that tests may ask for several processors: see config_overrides.
CPUS_PER_NODE = 4
MEGABYTES_PER_NODE = 8000
# Between the warning that a job is preempted, SIGTERM, and its end.
GRACE_SECONDS = 20


@dataclass(frozen=True)
class Place:
    """Where the daemons keep their files, and how they are reached."""

    folder: Path
    munge_socket: Path
    host: str
    controller_port: int
    node_ports: tuple[int, ...]
    gpu_devices: tuple[Path, ...]


def slurm_conf(place: Place) -> str:
    """Return slurm.conf: daemons as root, a job that is preempted or lost goes back to the queue within seconds."""
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={place.host} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={CPUS_PER_NODE} RealMemory={MEGABYTES_PER_NODE} Gres=gpu:fake:{GPUS_PER_NODE}"
        for name, port in zip(NODES, place.node_ports, strict=True)
    )
    return f"""\
ClusterName=backbench
SlurmctldHost={place.host}(127.0.0.1)
SlurmctldPort={place.controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={place.munge_socket},cred_expire=5
StateSaveLocation={place.folder}/state
SlurmdSpoolDir={place.folder}/spool-%n
SlurmctldPidFile={place.folder}/slurmctld.pid
SlurmdPidFile={place.folder}/slurmd-%n.pid
# Two daemons of one host are two nodes.
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
GresTypes=gpu
# A job over its memory is ended, as on a cluster with control groups.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
# squeue is the only memory of ended jobs.
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait=5
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2
{nodes}
PartitionName=main Nodes={",".join(NODES)} Default=YES PriorityTier=1 GraceTime={GRACE_SECONDS} State=UP
PartitionName=high Nodes={",".join(NODES)} PriorityTier=10 State=UP
"""


def gres_conf(place: Place) -> str:
    """Return gres.conf: both nodes have the same device files, for they share one host."""
    return "".join(f"NodeName={name} Name=gpu Type=fake File={device}\n" for name, device in _devices(place))


def _devices(place: Place) -> list[tuple[str, Path]]:
    owners = [name for name in NODES for _ in range(GPUS_PER_NODE)]
    return list(zip(owners, place.gpu_devices, strict=True))
