"""A SLURM of two nodes on this one machine, with accounting and a GPU that is a copy of /dev/null, for tests."""

import contextlib
import getpass
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

NODES = ("node1", "node2")
START, STOP = 60.0, 20.0
"""Seconds in which a program must have started, or ended."""

# The two nodes claim more than the machine has, so that what the rules ask for fits.
SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={slurmctld}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket,cred_expire=5
CredType=cred/munge
PluginDir={plugins}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
KillWait=20
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={slurmdbd}
AccountingStoragePass={place}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd1} CPUs=2 RealMemory=64000 Gres=gpu:tests:1 State=UNKNOWN
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd2} CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=cpu Nodes=node1,node2 Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu Nodes=node1 MaxTime=1-00:00:00 State=UP
"""

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={slurmdbd}
SlurmUser={user}
PidFile={place}/slurmdbd.pid
LogFile={place}/slurmdbd.log
PluginDir={plugins}
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounts
"""

CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=no
"""


class Slurm:
    """A context in which the cluster is up; on leaving it every process that it started has ended.

    root: where the packages are unpacked. `environment` is what its users need.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is started before entry."""
        self.place = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path may have 107 characters
        self.root, self.user = root, getpass.getuser()
        libraries = [path for path in (root / "usr/lib").glob("*-linux-gnu*") if path.is_dir()]
        self.plugins = next(path for base in (*libraries, *Path("/usr/lib").glob("*-linux-gnu*"))
                            for path in [base / "slurm-wlm"] if path.is_dir())  # fmt: skip
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(
                [f"{self.place}/bin", f"{root}/usr/bin", f"{root}/usr/sbin", os.environ["PATH"], "/usr/sbin", "/sbin"]
            ),
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, [*libraries, self.plugins])),
            "SLURM_CONF": f"{self.place}/slurm.conf",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Slurm":
        """Start everything, each when what it needs is there."""
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stop()
        shutil.rmtree(self.place)

    def run(self, *command: object, check: bool = True) -> str:
        """What one of SLURM's commands says."""
        done = subprocess.run([*map(str, command)], env=self.environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, rule: str) -> list[dict[str, str]]:
        """What the accounts say of the jobs of a Snakemake rule, oldest first, once for each time one was started."""
        fields = "JobIDRaw,State,Partition,Timelimit,ReqTRES,AllocTRES,Comment,ExitCode"
        table = self.run("sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", "--format", fields)
        rows = [dict(zip(fields.split(","), line.split("|"), strict=True)) for line in table.splitlines()]
        return [row for row in rows if re.fullmatch(f"rule_{rule}(_wildcards_.*)?", row["Comment"])]

    def running(self, rule: str) -> str | None:
        """The id of a job of this rule that runs now."""
        table = self.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %k")
        return next((line.split()[0] for line in table.splitlines() if f" rule_{rule}_" in line), None)

    def processes(self) -> Iterator[psutil.Process]:
        """Whatever runs with this cluster's configuration: its programs, jobs and users."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    yield process

    def _start(self) -> None:
        self._configure()
        place = self.place
        key = place / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = ("key-file=munge.key", "log-file=munge.log", "pid-file=munge.pid", "seed-file=munge.seed")
        self._launch(
            "munged", "--foreground", "--force", f"--socket={place}/munge.socket",
            *(f"--{name}={place}/{file}" for name, file in (entry.split("=") for entry in files)),
        )  # fmt: skip
        self._wait_for("munge", "--socket", place / "munge.socket", "--no-input")
        self._start_accounts()
        self._launch("slurmctld", "-D")
        self._wait_for("scontrol", "ping", says="is UP")
        step = shutil.which("slurmstepd", path=self.environment["PATH"])
        for node in NODES:
            self._launch("slurmd", "-D", "-N", node, "-d", str(step))
        self._wait_for("sinfo", "--noheader", "--Node", "--format=%T", says=r"\A(idle\n){3}\Z")  # node1 is in both

    def _start_accounts(self) -> None:
        place, port = self.place, self.ports["database"]
        data, connection = place / "database", place / "database.socket"
        base = next(path for path in (self.root / "usr", Path("/usr")) if (path / "sbin/mariadbd").exists())
        self.run(
            "mariadb-install-db", "--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--user={self.user}",
            "--skip-test-db", "--auth-root-authentication-method=normal",
        )  # fmt: skip
        self._launch(
            "mariadbd", "--no-defaults", f"--basedir={base}", f"--datadir={data}", f"--user={self.user}",
            f"--socket={connection}", f"--port={port}", "--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M",
            "--innodb-lock-wait-timeout=900", f"--pid-file={place}/database.pid",
        )  # fmt: skip
        client = ["--no-defaults", "--user=root", f"--socket={connection}"]
        self._wait_for("mariadb-admin", *client, "ping")
        self.run("mariadb", *client, "--execute", "CREATE DATABASE accounts; CREATE USER slurm@'%' IDENTIFIED BY 'slurm';"
                 " GRANT ALL ON accounts.* TO slurm@'%'")  # fmt: skip
        self._launch("slurmdbd", "-D")
        self._wait_for("sacctmgr", "--noheader", "list", "cluster")
        for what in (["cluster", "tests"], ["account", "lab"], ["user", self.user, "Account=lab"]):
            self.run("sacctmgr", "--immediate", "--quiet", "add", *what)

    def _configure(self) -> None:
        names = ("slurmctld", "slurmdbd", "slurmd1", "slurmd2", "database")
        with contextlib.ExitStack() as stack:  # all at once, so that they differ
            sockets = [stack.enter_context(socket.socket()) for _ in names]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            self.ports = {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
        host = socket.gethostname().split(".")[0]
        values = {"place": self.place, "user": self.user, "host": host, "plugins": self.plugins, **self.ports}
        gpu = self.place / "nvidia0"
        os.mknod(gpu, 0o20666, os.makedev(1, 3))
        files = {
            "slurm.conf": SLURM_CONF.format(**values),
            "slurmdbd.conf": SLURMDBD_CONF.format(**values),
            "cgroup.conf": CGROUP_CONF,
            # a device, not a number: only that makes SLURM set CUDA_VISIBLE_DEVICES
            "gres.conf": f"NodeName=node1 Name=gpu Type=tests File={gpu}\n",
        }
        for name, text in files.items():
            (self.place / name).write_text(text)
            (self.place / name).chmod(0o600)  # slurmdbd insists
        # Snakemake's job steps take all SLURM_* from srun, which a cluster's finds its configuration without.
        wrapper, srun = self.place / "bin/srun", shutil.which("srun", path=self.environment["PATH"])
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={self.place}/slurm.conf exec {srun} "$@"\n')
        wrapper.chmod(0o755)
        for folder in ("state", *(f"spool-{node}" for node in NODES)):
            (self.place / folder).mkdir()
        self.place.chmod(0o755)

    def _launch(self, name: str, *arguments: str) -> None:
        """Start a program that ends with this process, if nothing ends it before."""
        with open(self.place / f"{name}.said", "ab") as said:
            command = ["setpriv", "--pdeathsig", "TERM", name, *arguments]
            self._started.append(subprocess.Popen(command, env=self.environment, stdout=said, stderr=said))

    def _wait_for(self, *command: object, says: str = "") -> None:
        answer = ""

        def answers() -> bool:
            nonlocal answer
            try:
                answer = self.run(*command)
            except RuntimeError as error:
                answer = str(error)
                return False
            return re.search(says, answer) is not None

        if not wait_until(answers, START):
            logs = "\n".join(
                f"{path.name}: {path.read_text()[-2000:]}"
                for path in self.place.glob("*.*")
                if path.suffix in (".log", ".said")
            )
            raise RuntimeError(f"SLURM: `{' '.join(map(str, command))}` says: {answer}\n{logs}")

    def _stop(self) -> None:
        with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
            self.run("scancel", "--user", self.user)
            wait_until(lambda: not self.run("squeue", "--noheader"), STOP)
        for program in reversed(self._started):
            program.terminate()
            try:
                program.wait(STOP)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        for process in self.processes():  # jobs that outlived it
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether the condition came true within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
