/* A program that exports what CPython exports, as far as -D options say. */
#include <stdio.h>

const unsigned int Py_Version = PY_VERSION_HEX;
long PyCode_Type[64];
const char *Py_GetVersion(void) { return ""; }
void *PyGILState_GetThisThreadState(void) { return 0; }

#ifdef NO_RUNTIME
#else
#ifndef COOKIE
#define COOKIE 0
#endif
/* Words of 3.13's table of offsets: cookie, version, free-threaded, sizes … */
unsigned long _PyRuntime[4096] = {COOKIE, PY_VERSION_HEX, FREE_THREADED};
#endif

#ifdef EXTRA
int EXTRA;
#endif

int main(void)
{
    puts("ready");
    fflush(stdout);
    getchar();
    return 0;
}
