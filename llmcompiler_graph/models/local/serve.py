"""The child process that runs llama.cpp: settings in on stdin, the server's address out on stdout, end with stdin.

It is run by its path, not imported, so that it loads nothing but xllamacpp. The parent holds the other end of stdin
open; the kernel closes it even when the parent is killed, and then this process ends too. Where forks of the parent
hold it open as well, a line says the same, and a look at who the parent is.
"""

import json
import os
import select
import sys

__all__ = ()


def main() -> None:
    """Serve one model until stdin has more to say, or the parent is gone."""
    settings = json.loads(sys.stdin.buffer.readline())
    answer = os.dup(1)
    os.dup2(2, 1)  # stdout is for the address alone: what llama.cpp prints there belongs to the log

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.api_keys = [settings["api_key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cors_origins = ""
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 1
    params.n_ctx = settings["context"]
    params.n_parallel = 1
    params.n_batch = 512  # it tells its progress after each; what is computed at once (`n_ubatch`) is no more anyway
    params.cache_ram_mib = settings["prefix_cache"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    try:
        server = xllamacpp.Server(params)  # returns once the model is loaded and the port is open
    except RuntimeError as error:
        sys.exit(str(error))  # a traceback would push llama.cpp's own reason off the end of the log
    os.write(answer, server.listening_address.encode() + b"\n")
    while os.getppid() == settings["parent"] and not select.select([sys.stdin], [], [], 1.0)[0]:
        pass
    os._exit(0)  # a destructor would wait for requests still running


if __name__ == "__main__":
    main()
