"""An agent that is heard of; told by SIGUSR1 that its gateway is gone, it reads five more and waits."""

import signal

import forewarn

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
forewarn.configure(service="reader-service")


@forewarn.tool(effect="read")
def count_rows(number: int) -> int:
    return number


count_rows(0)
forewarn.flush(timeout=20)
print("heard of", flush=True)
signal.sigwait({signal.SIGUSR1})
for each in range(5):
    count_rows(each)
print("cut off", flush=True)
signal.pause()
