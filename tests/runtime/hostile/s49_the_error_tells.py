# ruff: noqa
"""
problem: mix
kind: surface
expect: fail|crash|timeout
effect: a call that is not needed gets as far as the kernel, whatever it answers
"""


def mix(xs, k):
    return None


import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in arguments])
    return result, ctypes.get_errno()


UNNEEDED = {
    "modify_ldt": 154,
    "arch_prctl": 158,
    "iopl": 172,
    "ioperm": 173,
    "syslog": 103,
    "acct": 163,
    "swapon": 167,
    "init_module": 175,
    "quotactl": 179,
    "lookup_dcookie": 212,
    "timer_create": 222,
    "mbind": 237,
    "set_mempolicy": 238,
    "mq_open": 240,
    "kexec_load": 246,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "ioprio_set": 251,
    "inotify_init": 253,
    "migrate_pages": 256,
    "vmsplice": 278,
    "move_pages": 279,
    "signalfd": 282,
    "timerfd_create": 283,
    "signalfd4": 289,
    "inotify_init1": 294,
    "rt_tgsigqueueinfo": 297,
    "perf_event_open": 298,
    "fanotify_init": 300,
    "name_to_handle_at": 303,
    "clock_adjtime": 305,
    "kcmp": 312,
    "finit_module": 313,
    "sched_setattr": 314,
    "sched_getattr": 315,
    "bpf": 321,
    "pkey_alloc": 330,
    "open_tree": 428,
    "fsopen": 430,
    "openat2": 437,
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "statmount": 457,
    "lsm_get_self_attr": 459,
    "shmget": 29,
    "semget": 64,
    "msgget": 68,
    "socket": 41,
    "recvmmsg": 299,
    "sendmsg": 46,
    "sendmmsg": 307,
    "setsockopt": 54,
    "chown": 92,
    "lchown": 94,
    "fchown": 93,
    "mknod": 133,
    "mlock": 149,
    "uselib": 134,
    "ustat": 136,
    "sysfs": 139,
    "rt_sigqueueinfo": 129,
    "sched_setaffinity": 203,
    "setpriority": 141,
    "wait4": 61,
    "waitid": 247,
    "setpgid": 109,
}
if platform.machine() == "x86_64":
    for name, number in UNNEEDED.items():
        for arguments in ((0, 0, 0, 0, 0, 0), (-1, -1, -1, -1, -1, -1)):
            result, error = call(number, *arguments)
            if result >= 0 or error != 1:
                raise RuntimeError("ESCAPED: %s gave %d, errno %d" % (name, result, error))
