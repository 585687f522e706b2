"""
Where the processes of one training meet: a store of torch's that listens at one address, and hands the task to other
hosts.

Neither the store nor gloo nor NCCL knows who is talking to it, so on one host all of them keep to its loopback, and on
several to the network of the address that the user names. Nothing that comes through them is unpickled: the store holds
bytes, here JSON.
"""

import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from . import ranks
from .errors import Failure

# How long a process waits for the others: a host that fell silent without closing its connections ends the training
# after it.
PATIENCE = timedelta(minutes=10)
# In place of a config file's path: the task is the first host's.
FROM_FIRST_HOST = '-'
_TASK = 'pupil/task'
# Linux's linux/sockios.h.
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Meeting:
    """What a process needs to find the others: variables, and descriptors that the first one inherits."""

    environment: dict[str, str]
    descriptors: tuple[int, ...]


# ---------------------------------------------------------------- of whoever starts the processes, without torch


@contextmanager
def arrange(address: tuple[str, int], is_first: bool, is_alone: bool) -> Iterator[Meeting]:
    """
    Opens the port, on the first host, for its first process to inherit. Raises Failure where this machine has no such
    address.
    """
    host, port = address
    listener: socket.socket | None = None
    try:
        if is_first:
            listener = socket.create_server(address, backlog=socket.SOMAXCONN)
            port = listener.getsockname()[1]
        own = own_address(host, port)
    except OSError as error:
        name = f'{host}:{port}'
        reason = error.strerror or str(error)
        advice = 'Set train.address to an address of this machine that the other hosts reach, and a port that is free.'
        raise Failure('device', f'The hosts of this training cannot meet at {name}: {reason}. {advice}') from error
    try:
        if is_first and not is_alone and own.startswith('127.') and host != own:
            advice = 'Set train.address to the address under which the others reach this machine.'
            raise Failure('device', f'{host} is {own} to this machine, where no other host reaches it. {advice}')
        descriptors = () if listener is None else (listener.fileno(),)
        environment = {'MASTER_ADDR': host, 'MASTER_PORT': str(port), **_keeping_to(own, is_alone)}
        if listener is not None:
            environment['MEETING_DESCRIPTOR'] = str(listener.fileno())
        yield Meeting(environment, descriptors)
    finally:
        if listener is not None:
            listener.close()


def is_arranged(address: tuple[str, int]) -> bool:
    """Whether the first host of a training listens there."""
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def own_address(host: str, port: int) -> str:
    """The address of this machine that is used for reaching `host`. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((host, port))
        return str(towards.getsockname()[0])


def _keeping_to(own: str, is_alone: bool) -> dict[str, str]:
    """
    The variables that bind gloo and NCCL to the interface of an address; other than torch's store they can be told no
    address. On several hosts what the user has set for his network stands.
    """
    interface = _interface_of(own)
    if interface is None:
        return {}
    names = ('GLOO_SOCKET_IFNAME', 'NCCL_SOCKET_IFNAME')
    return {name: interface if is_alone else os.environ.get(name, interface) for name in names}


def _interface_of(own: str) -> str | None:
    if sys.platform != 'linux':
        return 'lo0' if own.startswith('127.') else None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, struct.pack('256s', name.encode()))
            except OSError:
                # It has no address.
                continue
            if socket.inet_ntoa(answer[20:24]) == own or (name == 'lo' and own.startswith('127.')):
                return name
    return None


# ---------------------------------------------------------------- of the processes


@cache
def store() -> Any:
    """The store of this training, kept by its first process."""
    from torch.distributed import TCPStore

    # Only where it is this process's to hold. It listens already, so that nobody comes too early.
    descriptor = int(os.environ['MEETING_DESCRIPTOR']) if ranks.rank() == 0 else None
    return TCPStore(
        os.environ['MASTER_ADDR'],
        int(os.environ['MASTER_PORT']),
        ranks.count(),
        is_master=descriptor is not None,
        timeout=PATIENCE,
        wait_for_workers=False,
        master_listen_fd=descriptor,
    )


def offer(message: Any) -> None:
    """
    Called with the task by every process that was started with it; does something in the first of several hosts' only.
    """
    if ranks.rank() == 0 and ranks.count() > ranks.local_count():
        store().set(_TASK, json.dumps(message))


def receive() -> Any:
    """The task of the first host, not yet checked. Waits for it as long as for anything else."""
    return json.loads(store().get(_TASK))
