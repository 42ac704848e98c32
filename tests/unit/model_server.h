/* The server of tests/process/model_server.py, from a unit test: a real process, told over its standard input. */
#ifndef OBS_TESTS_MODEL_SERVER_H
#define OBS_TESTS_MODEL_SERVER_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
  pid_t pid;
  FILE *to, *from;
  char url[64], log[128];
} model_server;

/* `dir` gets its log of requests. */
static inline void model_server_start(model_server *s, const char *dir) {
  int in[2], out[2], port = 0;
  snprintf(s->log, sizeof(s->log), "%s/requests.jsonl", dir);
  assert_int_equal(pipe(in), 0);
  assert_int_equal(pipe(out), 0);
  s->pid = fork();
  assert_true(s->pid >= 0);
  if (s->pid == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    for (int fd = 3; fd < 64; fd++) close(fd);
    execlp("python3", "python3", "-B", OBSERVER_SOURCE_DIR "/tests/process/model_server.py", "--log", s->log,
           (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  s->to = fdopen(in[1], "w");
  s->from = fdopen(out[0], "r");
  assert_non_null(s->to);
  assert_non_null(s->from);
  assert_int_equal(fscanf(s->from, "%d", &port), 1);
  snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", port);
}

static inline void model_server_stop(model_server *s) {
  kill(s->pid, SIGKILL);
  waitpid(s->pid, NULL, 0);
  fclose(s->to);
  fclose(s->from);
  unlink(s->log);
}

/* For all paths: a JSON object, as in model_server.py. */
static inline void model_server_set(const model_server *s, const char *behaviour) {
  char answer[16] = "";
  fprintf(s->to, "{\"path\":null,\"behaviour\":%s}\n", behaviour);
  fflush(s->to);
  assert_int_equal(fscanf(s->from, "%15s", answer), 1);
  assert_string_equal(answer, "ok");
}

/* All of a file, NUL-terminated; "" when there is none. The caller frees it. */
static inline char *whole_file(const char *path) {
  char *text = NULL;
  size_t size = 0;
  FILE *in = fopen(path, "r");
  if (in == NULL || getdelim(&text, &size, '\0', in) < 0) {
    free(text);
    text = strdup("");
  }
  if (in != NULL) fclose(in);
  assert_non_null(text);
  return text;
}

/* How often `text` stands in a file. */
static inline int count_in_file(const char *path, const char *text) {
  char *all = whole_file(path);
  int n = 0;
  for (const char *p = all; (p = strstr(p, text)) != NULL; p++) n++;
  free(all);
  return n;
}

/* Requests ever made. */
static inline int model_server_requests(const model_server *s) {
  return count_in_file(s->log, "\n");
}

#endif
