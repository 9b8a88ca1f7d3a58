"""A pytest plugin (``-p no_network``) under which any connection beyond this process is an error."""

import socket


def refuse(self, address, *_):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        raise AssertionError(f"a connection to {address} was tried")
    return CONNECT(self, address)


CONNECT = socket.socket.connect
socket.socket.connect = refuse
socket.socket.connect_ex = refuse
