// A program that embeds Python in a thread of its own.
//
//   PROF_TEST_LIBRARY=LIBPYTHON embed PYTHON SCRIPT ARGS…    as `PYTHON SCRIPT ARGS…`
//
// PROF_TEST_SECOND: another libpython that is loaded before; and started, if
// PROF_TEST_SECOND_HOME says where its own library is.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct arguments { int count; char **words; };

static void *open_library(const char *path, int scope) {
  void *library = dlopen(path, RTLD_NOW | scope);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return library;
}

// Its names are its own: whoever comes later has others.
static void load_second(const char *path, const char *home) {
  void *library = open_library(path, RTLD_LOCAL);
  if (!home) return;
  void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
  void *(*save)(void) = (void *(*)(void))dlsym(library, "PyEval_SaveThread");
  setenv("PYTHONHOME", home, 1);
  initialize(0);
  save();
  unsetenv("PYTHONHOME");
}

static void *run(void *opaque) {
  struct arguments *arguments = opaque;
  void *library = open_library(getenv("PROF_TEST_LIBRARY"), RTLD_GLOBAL);
  int (*as_main)(int, char **) = (int (*)(int, char **))dlsym(library, "Py_BytesMain");
  exit(as_main(arguments->count, arguments->words));
}

int main(int argc, char **argv) {
  const char *second = getenv("PROF_TEST_SECOND");
  if (second) load_second(second, getenv("PROF_TEST_SECOND_HOME"));
  struct arguments arguments = {argc - 1, argv + 1};
  pthread_t thread;
  pthread_create(&thread, 0, run, &arguments);
  pthread_join(thread, 0);
}
