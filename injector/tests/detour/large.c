// A library of 24 MiB, to be loaded above libc.
char large[24 << 20] = {1};
