#include "base/clock.h"
#include "base/thread.h"
#include "client/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* GRACE_MS: how long observer_close waits beyond its deadline for the thread, which may be in a callback or at a slow
 * disk; then the thread and its memory are leaked, so that the caller goes on. */
enum { ERROR_TEXT = 512, GRACE_MS = 3000 };

static _Thread_local char open_error[ERROR_TEXT];

const char *observer_open_error(void) {
  return open_error;
}

/* ---- forks ---- */

/* What cannot be kept in a client: a fork concerns the process. */
static _Atomic unsigned generation = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool watching;

static void in_child(void) {
  atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
}

static void watch(void) {
  watching = pthread_atfork(NULL, NULL, in_child) == 0;
}

unsigned obs_client_generation(void) {
  return atomic_load_explicit(&generation, memory_order_relaxed);
}

/* ---- opening ---- */

static observer_err init_locks(observer_client *c) {
  observer_err err = OBSERVER_E_NOMEM;
  c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (c->wake < 0) {
    snprintf(open_error, sizeof(open_error), "eventfd: %s", strerror(errno));
    return OBSERVER_E_IO;
  }
  if (pthread_mutex_init(&c->lock, NULL) == 0) {
    if ((err = obs_thread_cond_init(&c->room)) == OBSERVER_E_OK) {
      if ((err = obs_thread_cond_init(&c->settled)) == OBSERVER_E_OK) return OBSERVER_E_OK;
      pthread_cond_destroy(&c->room);
    }
    pthread_mutex_destroy(&c->lock);
  }
  close(c->wake);
  return err;
}

static void free_client(observer_client *c) {
  for (obs_client_packet *p = c->window.head, *next; p != NULL; p = next) {
    next = p->next;
    obs_client_packet_free(p);
  }
  obs_client_packet_free(c->open);
  obs_client_spool_close(c->spool);
  obs_client_options_fini(&c->o);
  pthread_cond_destroy(&c->room);
  pthread_cond_destroy(&c->settled);
  pthread_mutex_destroy(&c->lock);
  close(c->wake);
  free(c);
}

observer_err observer_open(const observer_options *options, observer_client **out) {
  if (out != NULL) *out = NULL;
  if (options == NULL || out == NULL) {
    snprintf(open_error, sizeof(open_error), "%s: NULL", options == NULL ? "options" : "out");
    return OBSERVER_E_INVALID;
  }
  open_error[0] = '\0';
  observer_client *c = pthread_once(&once, watch) == 0 && watching ? calloc(1, sizeof(*c)) : NULL;
  observer_err err = c != NULL ? init_locks(c) : OBSERVER_E_NOMEM;
  if (err != OBSERVER_E_OK) {
    free(c);
    goto fail;
  }
  c->generation = obs_client_generation();
  c->next_op = 1;
  c->stamp_ms = INT64_MIN;
  err = obs_client_options_init(&c->o, options, open_error, ERROR_TEXT);
  if (err == OBSERVER_E_OK) err = obs_client_name(c, options->producer, open_error, ERROR_TEXT);
  if (err == OBSERVER_E_OK) err = obs_client_spooler_open(c, open_error, ERROR_TEXT);
  if (err == OBSERVER_E_OK) {
    err = obs_client_link_open(c, open_error, ERROR_TEXT);
    if (err == OBSERVER_E_OK) {
      /* All signals are blocked in the thread: the program handles them in its own. */
      sigset_t all, old;
      sigfillset(&all);
      if (pthread_sigmask(SIG_SETMASK, &all, &old) != 0) {
        err = OBSERVER_E_INVALID;
      } else {
        err = obs_thread_start(&c->thread, "obs:client", obs_client_run, c);
        if (pthread_sigmask(SIG_SETMASK, &old, NULL) != 0) abort(); /* cannot fail: the call above gave the mask */
      }
    }
    if (err != OBSERVER_E_OK) obs_client_link_close(c);
  }
  if (err == OBSERVER_E_OK) {
    *out = c;
    return OBSERVER_E_OK;
  }
  free_client(c);
fail:
  if (open_error[0] == '\0') snprintf(open_error, sizeof(open_error), "%s", observer_strerror(err));
  return err;
}

/* ---- flushing and closing ---- */

/* Waits, with the lock held, for `reached`, or the time. */
static bool wait_settled(observer_client *c, bool (*reached)(const observer_client *c, uint64_t serial),
                         uint64_t serial, uint64_t until_ms) {
  for (;;) {
    if (reached(c, serial)) return true;
    uint64_t now = obs_clock_mono_ms();
    if (now >= until_ms) return false;
    obs_thread_cond_wait_ms(&c->settled, &c->lock, until_ms - now);
  }
}

static bool is_written(const observer_client *c, uint64_t serial) {
  (void)serial;
  return c->unwritten == 0;
}

observer_err observer_flush(observer_client *client, uint32_t deadline_ms) {
  observer_client *c = client;
  if (c == NULL) return OBSERVER_E_INVALID;
  uint64_t until_ms = obs_clock_mono_ms() + deadline_ms;
  if (c->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  pthread_mutex_lock(&c->lock);
  obs_client_seal(c);
  bool settled =
      wait_settled(c, obs_client_is_settled, c->serial, until_ms) && wait_settled(c, is_written, 0, until_ms);
  pthread_mutex_unlock(&c->lock);
  return settled ? OBSERVER_E_OK : OBSERVER_E_TIMEDOUT;
}

static bool no_publisher(const observer_client *c, uint64_t serial) {
  (void)serial;
  return c->publishers == 0;
}

static bool has_ended(const observer_client *c, uint64_t serial) {
  (void)serial;
  return c->ended;
}

observer_err observer_close(observer_client *client, uint32_t deadline_ms) {
  observer_client *c = client;
  if (c == NULL) return OBSERVER_E_OK;
  if (c->generation != obs_client_generation()) {
    /* In a forked child: other threads may have been changing the rest at the fork. */
    obs_client_spool_close(c->spool);
    obs_client_options_fini(&c->o);
    free(c);
    return OBSERVER_E_FORKED;
  }
  uint64_t until_ms = obs_clock_mono_ms() + deadline_ms;
  pthread_mutex_lock(&c->lock);
  c->closing = true;
  pthread_cond_broadcast(&c->room);
  wait_settled(c, no_publisher, 0, UINT64_MAX);
  pthread_mutex_unlock(&c->lock);
  observer_err err = observer_flush(c, deadline_ms);
  pthread_mutex_lock(&c->lock);
  c->stop = true;
  obs_client_wake(c);
  uint64_t now = obs_clock_mono_ms();
  bool ended = wait_settled(c, has_ended, 0, (until_ms > now ? until_ms : now) + GRACE_MS);
  pthread_mutex_unlock(&c->lock);
  if (!ended) {
    pthread_detach(c->thread);
    return OBSERVER_E_TIMEDOUT;
  }
  pthread_join(c->thread, NULL);
  free_client(c);
  return err;
}

/* ---- connections, trouble, counters ---- */

static bool is_connected(const observer_client *c, uint64_t serial) {
  (void)serial;
  return obs_client_link_is_connected(c);
}

observer_err observer_connect(observer_client *client, uint32_t deadline_ms) {
  observer_client *c = client;
  if (c == NULL) return OBSERVER_E_INVALID;
  uint64_t until_ms = obs_clock_mono_ms() + deadline_ms;
  if (c->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  pthread_mutex_lock(&c->lock);
  bool connected = wait_settled(c, is_connected, 0, until_ms);
  pthread_mutex_unlock(&c->lock);
  return connected ? OBSERVER_E_OK : OBSERVER_E_TIMEDOUT;
}

observer_err observer_get_trouble(observer_client *client, char *text, size_t size) {
  observer_client *c = client;
  if (c == NULL || (text == NULL && size > 0)) return OBSERVER_E_INVALID;
  if (c->generation != obs_client_generation()) return OBSERVER_E_FORKED;
  char why[OBS_CLIENT_TROUBLE_MAX], note[OBS_CLIENT_TROUBLE_MAX];
  pthread_mutex_lock(&c->lock);
  observer_err err = c->trouble;
  snprintf(why, sizeof(why), "%s", c->trouble_text);
  bool alone = !obs_client_link_is_connected(c) && (err == OBSERVER_E_OK || err == OBSERVER_E_NET);
  if (alone && obs_client_link_explain(c, why, sizeof(why))) err = OBSERVER_E_NET;
  pthread_mutex_unlock(&c->lock);
  obs_client_key_note(&c->o, note, sizeof(note));
  bool add = note[0] != '\0' && (err == OBSERVER_E_OK || err == OBSERVER_E_DENIED);
  if (size > 0) snprintf(text, size, "%s%s%s", why, add && why[0] != '\0' ? "; " : "", add ? note : "");
  return err;
}

void observer_get_counters(observer_client *client, observer_counters *out) {
  observer_client *c = client;
  if (out == NULL) return;
  *out = (observer_counters){0};
  if (c == NULL || c->generation != obs_client_generation()) return;
  pthread_mutex_lock(&c->lock);
  *out = c->n;
  out->memory_bytes = c->memory;
  pthread_mutex_unlock(&c->lock);
  out->queued = out->published + out->replayed - out->delivered - out->rejected - out->expired - out->abandoned;
}
