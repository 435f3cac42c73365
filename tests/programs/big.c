/* A library of 24 MiB that does nothing. Preloaded, it lies above libc. */

char big[24 << 20] = {1};
