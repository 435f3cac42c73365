// A library that takes 24 MiB of address space, to be loaded above libc.
char large[24 << 20];
