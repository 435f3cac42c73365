"""Blocks while the interpreter finalizes."""
import os


class Last:
    def __del__(self, read=os.read):
        read(100, 1)


last = Last()
reader, writer = os.pipe()
os.dup2(reader, 100)
print("ready", flush=True)
input()
