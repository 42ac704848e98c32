/* The feed's life: opening, who is connected, stopping. */
#include "base/clock.h"
#include "base/thread.h"
#include "feed/internal.h"

#include <nng/protocol/pubsub0/pub.h>
#include <nng/supplemental/util/platform.h>
#include <stdio.h>
#include <stdlib.h>

/* A subscriber has nothing to say: RECEIVE_BYTES. SETTLE_MS: what was sent last leaves NNG's queues. */
enum { BUFFER_BYTES = 8 << 20, RECEIVE_BYTES = 64, RECONNECT_MIN_MS = 100, RECONNECT_MAX_MS = 5000, SETTLE_MS = 50 };
enum { GREET_EVERY_MS = 50 }; /* so that subscribers who come and go do not flood the others */
enum { NAME_BYTES = (OBS_FEED_SOURCES + 1) * OBS_FEED_TOPIC_MAX };

/* Before a connection is used. REM_POST comes once for each ADD_PRE, whatever happens between. */
static void on_connect(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  obs_feed *f = arg;
  obs_state_counts counts;
  (void)event;
  obs_state_get_counts(f->state, &counts);
  pthread_mutex_lock(&f->lock);
  if (!atomic_load(&f->active)) obs_feed_raise_seq(f, counts.last_seq);
  atomic_store(&f->active, true); /* before it counts: nothing is missed by who is counted */
  bool full = atomic_fetch_add(&f->subscribers, 1) >= OBS_FEED_SUBSCRIBERS;
  pthread_cond_signal(&f->wake);
  pthread_mutex_unlock(&f->lock);
  if (full) nng_pipe_close(pipe);
}

/* Who has just come need not wait for the heartbeat to know how things stand, and that it is connected. */
static void on_connected(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  obs_feed *f = arg;
  (void)pipe, (void)event;
  uint64_t now = obs_clock_mono_ms();
  pthread_mutex_lock(&f->lock);
  bool greet = now - f->greeted_at >= GREET_EVERY_MS;
  if (greet) f->greeted_at = now;
  pthread_mutex_unlock(&f->lock);
  if (greet) obs_feed_publish_stats(f);
}

static void on_disconnect(nng_pipe pipe, nng_pipe_ev event, void *arg) {
  obs_feed *f = arg;
  (void)pipe, (void)event;
  atomic_fetch_sub(&f->subscribers, 1);
}

static int open_socket(obs_feed *f) {
  int rv = nng_pub0_open(&f->socket);
  if (rv != 0) return rv;
  if ((rv = nng_socket_set_int(f->socket, NNG_OPT_SENDBUF, OBS_FEED_SENDBUF)) != 0 ||
      (rv = nng_socket_set_size(f->socket, NNG_OPT_RECVMAXSZ, RECEIVE_BYTES)) != 0 ||
      (rv = nng_socket_set_ms(f->socket, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS)) != 0 ||
      (rv = nng_socket_set_ms(f->socket, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS)) != 0 ||
      (rv = nng_pipe_notify(f->socket, NNG_PIPE_EV_ADD_PRE, on_connect, f)) != 0 ||
      (rv = nng_pipe_notify(f->socket, NNG_PIPE_EV_ADD_POST, on_connected, f)) != 0) {
    return rv;
  }
  return nng_pipe_notify(f->socket, NNG_PIPE_EV_REM_POST, on_disconnect, f);
}

static observer_err attach(obs_feed *f, const obs_feed_opts *o, char *text, size_t size) {
  char why[200];
  int rv = open_socket(f);
  if (rv != 0) {
    (void)snprintf(text, size, "feed: %s", nng_strerror(rv));
    return obs_url_error(rv);
  }
  for (size_t i = 0; i < o->nurls; i++) {
    observer_err err = obs_url_attach(f->socket, o->urls[i], f->allow_old_nng, f->urls[i], why, sizeof(why));
    if (err != OBSERVER_E_OK) {
      (void)snprintf(text, size, "feed %s: %s", o->urls[i], why);
      return err;
    }
    f->nurls++;
  }
  return OBSERVER_E_OK;
}

static observer_err make_parts(obs_feed *f, const obs_feed_opts *o) {
  f->source_topics = calloc(OBS_FEED_SOURCES + 1, sizeof(*f->source_topics));
  f->chains = calloc(OBS_FEED_SOURCES + 1, sizeof(*f->chains));
  f->touched = calloc(OBS_FEED_SOURCES + 1, sizeof(*f->touched));
  f->topics = calloc(OBS_FEED_TOPICS + 1, sizeof(*f->topics));
  f->urls = calloc(o->nurls + 1, sizeof(*f->urls));
  if (f->source_topics == NULL || f->chains == NULL || f->touched == NULL || f->topics == NULL || f->urls == NULL)
    return OBSERVER_E_NOMEM;
  observer_err err = obs_names_init(&f->sources, OBS_FEED_SOURCES, NAME_BYTES);
  if (err == OBSERVER_E_OK) err = obs_names_init(&f->names, OBS_FEED_TOPICS, NAME_BYTES);
  if (err == OBSERVER_E_OK) (void)obs_names_intern(&f->names, OBS_STR("stats")); /* has a place whatever comes */
  if (err == OBSERVER_E_OK) err = obs_feed_encoder_init(&f->encoder);
  if (err == OBSERVER_E_OK) err = obs_feed_queue_init(&f->rows, o->buffer_bytes > 0 ? o->buffer_bytes : BUFFER_BYTES);
  if (err == OBSERVER_E_OK) err = obs_url_error(nng_aio_alloc(&f->beat, obs_feed_beat, f));
  return err;
}

static obs_feed *feed_new(const obs_feed_opts *o) {
  obs_feed *f = calloc(1, sizeof(*f));
  if (f == NULL) return NULL;
  f->state = o->state;
  f->stats = o->stats;
  f->stats_arg = o->stats_arg;
  f->allow_old_nng = o->allow_old_nng;
  f->boot_ms = obs_clock_wall_ms();
  pthread_mutex_init(&f->lock, NULL); /* the default kind does not fail */
  if (obs_thread_cond_init(&f->wake) == OBSERVER_E_OK) return f;
  pthread_mutex_destroy(&f->lock);
  free(f);
  return NULL;
}

observer_err obs_feed_open(const obs_feed_opts *opts, obs_feed **out, char *error_text, size_t error_size) {
  obs_feed *f = feed_new(opts);
  observer_err err = f != NULL ? make_parts(f, opts) : OBSERVER_E_NOMEM;
  if (err != OBSERVER_E_OK) (void)snprintf(error_text, error_size, "feed: %s", observer_strerror(err));
  if (err == OBSERVER_E_OK && opts->nurls > 0) err = attach(f, opts, error_text, error_size);
  if (err != OBSERVER_E_OK) {
    obs_feed_close(f);
    return err;
  }
  *out = f;
  return OBSERVER_E_OK;
}

observer_err obs_feed_start(obs_feed *f) {
  if (f->nurls == 0) return OBSERVER_E_OK;
  observer_err err = obs_thread_start(&f->thread, "obs:feed", obs_feed_run, f);
  if (err != OBSERVER_E_OK) return err;
  f->started = true;
  f->next_beat = obs_clock_mono_ms();
  nng_sleep_aio(0, f->beat);
  return OBSERVER_E_OK;
}

void obs_feed_urls(const obs_feed *f, void (*fn)(void *arg, const char *kind, const char *url), void *arg) {
  for (size_t i = 0; i < f->nurls; i++) fn(arg, "feed", f->urls[i]);
}

void obs_feed_get_counts(const obs_feed *f, obs_feed_counts *out) {
  uint32_t connected = atomic_load(&f->subscribers);
  *out = (obs_feed_counts){
      .ops = atomic_load(&f->ops),
      .messages = atomic_load(&f->messages),
      .bytes = atomic_load(&f->bytes),
      .dropped = atomic_load(&f->dropped),
      .subscribers = connected < OBS_FEED_SUBSCRIBERS ? connected : OBS_FEED_SUBSCRIBERS,
  };
}

void obs_feed_stop(obs_feed *f, uint32_t deadline_ms) {
  if (!f->started) return;
  nng_aio_stop(f->beat);
  obs_feed_publish_stats(f);
  pthread_mutex_lock(&f->lock);
  f->stop_at = obs_clock_mono_ms() + deadline_ms;
  f->stopping = true;
  pthread_cond_signal(&f->wake);
  pthread_mutex_unlock(&f->lock);
  pthread_join(f->thread, NULL);
  f->started = false;
  if (deadline_ms >= SETTLE_MS && atomic_load(&f->subscribers) > 0) nng_msleep(SETTLE_MS);
}

void obs_feed_close(obs_feed *f) {
  if (f == NULL) return;
  obs_feed_stop(f, 0);
  if (nng_socket_id(f->socket) > 0) nng_close(f->socket);
  if (f->beat != NULL) nng_aio_free(f->beat);
  for (uint32_t i = 0; i < f->noutbox; i++) nng_msg_free(f->outbox[i]);
  obs_feed_encoder_fini(&f->encoder);
  obs_feed_queue_fini(&f->rows);
  obs_names_fini(&f->sources);
  obs_names_fini(&f->names);
  free(f->source_topics);
  free(f->chains);
  free(f->touched);
  free(f->topics);
  free(f->urls);
  pthread_cond_destroy(&f->wake);
  pthread_mutex_destroy(&f->lock);
  free(f);
}
