"""Finds the listening sockets that this process has inherited: from systemd (sd_listen_fds(3)), or any descriptor.

systemd passes descriptors from 3 on: LISTEN_FDS of them, to the process LISTEN_PID, named by LISTEN_FDNAMES. The three
variables stay set: a second server of the process may need them, and to other processes, such as children of the
application, LISTEN_PID says that they mean nothing. The descriptors are not passed on to programs that are executed.

Thread: any, before the server runs.
"""

import contextlib
import os
import re
import socket
import stat
from collections.abc import Collection, Mapping

from ..config.addresses import AF_UNIX, ListenWord
from ..config.faults import SettingsFault

FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START
_COUNT = re.compile("[1-9][0-9]{0,8}")


def inherited_sockets(
    word: ListenWord, taken: Collection[int] = (), environ: Mapping[str, str] | None = None
) -> list[socket.socket]:
    """Return the sockets that a listen word names, as new objects on their descriptors; `taken` are in use already.

    Raises:
        ValueError: there are none, or one cannot be listened on. Nothing stays open that was not.
    """
    environ = os.environ if environ is None else environ
    try:
        descriptors = [int(word.place)] if word.kind == "fd" else _passed_by_systemd(word.place, environ)
        for descriptor in descriptors:
            if descriptor in taken:
                raise ValueError(f"descriptor {descriptor} is already used by another word of listen")
        with contextlib.ExitStack() as to_release:
            sockets = []
            for descriptor in descriptors:
                sockets.append(_listening_socket(descriptor))
                to_release.callback(sockets[-1].detach)  # not closed: whoever asked may try something else
            to_release.pop_all()
    except ValueError as error:
        raise SettingsFault(
            "Cannot listen on {word}: {reason}", about=("listen",), word=word.text, reason=str(error)
        ) from None
    return sockets


def _passed_by_systemd(name: str, environ: Mapping[str, str]) -> list[int]:
    """Return the descriptors of this name, or all of them without a name."""
    count, process_id = environ.get("LISTEN_FDS"), environ.get("LISTEN_PID")
    if count is None:
        raise ValueError(
            "LISTEN_FDS is not set, so no socket was passed; a socket unit of systemd passes its sockets to the "
            "service, and systemd-socket-activate to a command"
        )
    if not _COUNT.fullmatch(count):
        raise ValueError(f"LISTEN_FDS={count} is not a number of sockets")
    if process_id != str(os.getpid()):
        raise ValueError(
            f"the sockets were passed to the process LISTEN_PID={process_id or ''}, and this is {os.getpid()}; a shell "
            "or another program that systemd starts in between must start this one by exec"
        )
    descriptors = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            raise ValueError(f"descriptor {descriptor} is not open, although LISTEN_FDS={count}") from None
    if not name:
        return list(descriptors)
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    found = [descriptor for descriptor, given in zip(descriptors, names, strict=False) if given == name]
    if not found:
        known = ", ".join(dict.fromkeys(filter(None, names))) or "without names"
        raise ValueError(
            f"systemd has passed no socket of that name, but {known}; FileDescriptorName= in a socket unit names it"
        )
    return found


def _listening_socket(descriptor: int) -> socket.socket:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        raise ValueError(f"descriptor {descriptor} is not open") from None
    if not stat.S_ISSOCK(mode):
        raise ValueError(f"descriptor {descriptor} is not a socket")
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    fault = _fault(sock)
    if fault:
        sock.detach()
        raise ValueError(f"descriptor {descriptor} is {fault}")
    return sock


def _fault(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6, AF_UNIX):
        return "neither a TCP nor a unix socket"
    if sock.type != socket.SOCK_STREAM:
        return "not a stream socket: a socket unit has ListenStream= for it"
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "a socket that does not listen; a socket unit with Accept=yes passes such, one with Accept=no does not"
    return ""
