#include "base/clock.h"
#include "base/secret.h"
#include "client/encode.h"
#include "client/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  LINGER_MS = 5,
  BATCH_OPS = 512,
  BATCH_OPS_MAX = 1000,
  BATCH_BYTES = 256 * 1024,
  BATCH_BYTES_MAX = 2 * 1024 * 1024,
  QUEUE_BYTES = 8 * 1024 * 1024,
  EXPIRE_MS = 120000,
  REQUEST_TIMEOUT_MS = 5000,
  RETRY_MIN_MS = 50,
  RETRY_MAX_MS = 5000,
  IN_FLIGHT = 4,
  SPOOL_BYTES = 64 * 1024 * 1024,
  SPOOL_BYTES_MIN = 64 * 1024,
  PRODUCER_MAX = 256
};

static const char *const default_urls[] = {
    [OBSERVER_PUSH] = "tcp://127.0.0.1:3801",
    [OBSERVER_PUB] = "tcp://127.0.0.1:3802",
    [OBSERVER_ACKNOWLEDGED] = "tcp://127.0.0.1:3803",
};

static observer_err copy_text(char **out, const char *name, const char *value, char *text, size_t size) {
  if (value == NULL) return OBSERVER_E_OK;
  if (value[0] == '\0' || !obs_client_text_valid(value, strlen(value))) {
    snprintf(text, size, "%s: empty, too long, or not UTF-8", name);
    return OBSERVER_E_INVALID;
  }
  *out = strdup(value);
  return *out != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static observer_err copy_numbers(obs_client_options *o, const observer_options *g, char *text, size_t size) {
  enum { LINGER, OPS, BYTES, QUEUE, BLOCK, EXPIRE, TIMEOUT, RETRY_MIN, RETRY_MAX, FLIGHT, SPOOL, NUMBERS };
  const struct {
    const char *name;
    int64_t given, fallback, least, most;
  } numbers[NUMBERS] = {
      [LINGER] = {"linger_ms", g->linger_ms, LINGER_MS, -1, INT32_MAX},
      [OPS] = {"batch_ops", g->batch_ops, BATCH_OPS, 1, BATCH_OPS_MAX},
      [BYTES] = {"batch_bytes", g->batch_bytes, BATCH_BYTES, 1, BATCH_BYTES_MAX},
      [QUEUE] = {"queue_bytes", g->queue_bytes > INT64_MAX ? INT64_MAX : (int64_t)g->queue_bytes, QUEUE_BYTES, 1,
                 INT64_MAX},
      [BLOCK] = {"block_ms", g->block_ms, 0, -1, INT32_MAX},
      [EXPIRE] = {"expire_ms", g->expire_ms, EXPIRE_MS, -1, INT32_MAX},
      [TIMEOUT] = {"request_timeout_ms", g->request_timeout_ms, REQUEST_TIMEOUT_MS, 1, INT32_MAX},
      [RETRY_MIN] = {"retry_min_ms", g->retry_min_ms, RETRY_MIN_MS, 1, INT32_MAX},
      [RETRY_MAX] = {"retry_max_ms", g->retry_max_ms, RETRY_MAX_MS, 1, INT32_MAX},
      [FLIGHT] = {"in_flight", g->in_flight, IN_FLIGHT, 1, OBS_CLIENT_CHANNELS_MAX},
      [SPOOL] = {"spool_bytes", g->spool_bytes > INT64_MAX ? INT64_MAX : (int64_t)g->spool_bytes, SPOOL_BYTES,
                 SPOOL_BYTES_MIN, INT64_MAX / 2},
  };
  int64_t v[NUMBERS];
  for (size_t i = 0; i < NUMBERS; i++) {
    v[i] = numbers[i].given != 0 ? numbers[i].given : numbers[i].fallback;
    if (v[i] >= numbers[i].least && v[i] <= numbers[i].most) continue;
    snprintf(text, size, "%s: %" PRId64 " is not between %" PRId64 " and %" PRId64, numbers[i].name, v[i],
             numbers[i].least, numbers[i].most);
    return OBSERVER_E_INVALID;
  }
  o->linger_ms = v[LINGER] < 0 ? 0 : (uint32_t)v[LINGER];
  o->batch_ops = (uint32_t)v[OPS];
  o->batch_bytes = (uint32_t)v[BYTES];
  o->queue_bytes = (size_t)v[QUEUE];
  o->block_ms = (int32_t)v[BLOCK];
  /* Only acknowledged ops can expire; those in a spool are kept until they are acknowledged. */
  o->expire_ms = o->mode != OBSERVER_ACKNOWLEDGED || g->spool != NULL ? -1 : (int32_t)v[EXPIRE];
  o->request_timeout_ms = (uint32_t)v[TIMEOUT];
  o->retry_min_ms = (uint32_t)v[RETRY_MIN];
  o->retry_max_ms = v[RETRY_MAX] < v[RETRY_MIN] ? o->retry_min_ms : (uint32_t)v[RETRY_MAX];
  o->in_flight = (uint32_t)v[FLIGHT];
  o->spool_bytes = (uint64_t)v[SPOOL];
  return OBSERVER_E_OK;
}

/* ---- the key, and the files of TLS ---- */

/* NULL: as the environment says. What is empty is none. */
static const char *choose(const char *given, const char *variable) {
  const char *value = given != NULL ? given : getenv(variable);
  return value != NULL && *value != '\0' ? value : NULL;
}

/* Only where it can be sent: a producer that needs none does not fail for a file that it cannot read. */
static observer_err copy_key(obs_client_options *o, const observer_options *g, char *text, size_t size) {
  bool given = g->key != NULL || g->key_file != NULL;
  const char *file = given ? g->key_file : getenv("OBSERVER_KEY_FILE"), *key = given ? g->key : getenv("OBSERVER_KEY");
  bool from_file = file != NULL && *file != '\0';
  o->has_key = from_file || (key != NULL && *key != '\0');
  bool goes = false;
  for (size_t i = 0; i < o->nurls; i++) goes = goes || obs_client_key_may_go(o->urls[i]);
  if (!o->has_key || !goes || o->mode != OBSERVER_ACKNOWLEDGED) return OBSERVER_E_OK;
  char from[512];
  const char *what = from_file ? given ? "key_file" : "OBSERVER_KEY_FILE" : given ? "key" : "OBSERVER_KEY";
  snprintf(from, sizeof(from), "%s%s%s", what, from_file ? " " : "", from_file ? file : "");
  observer_err err = from_file ? obs_secret_read(what, file, &o->key, NULL, text, size)
                               : obs_secret_copy(key, strcspn(key, "\r\n"), from, &o->key, text, size);
  if (err != OBSERVER_E_OK) return err;
  if (!obs_secret_is_own(from, &o->key, text, size)) return OBSERVER_E_INVALID;
  if (!from_file) return OBSERVER_E_OK;
  o->key_file = strdup(file);
  return o->key_file != NULL ? OBSERVER_E_OK : OBSERVER_E_NOMEM;
}

static observer_err copy_paths(obs_client_options *o, const observer_options *g) {
  const struct {
    const char *given, *variable;
    char **to;
  } paths[] = {{g->tls_ca, "OBSERVER_TLS_CA", &o->tls_ca},
               {g->tls_cert, "OBSERVER_TLS_CERT", &o->tls_cert},
               {g->tls_key, "OBSERVER_TLS_KEY", &o->tls_key}};
  for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    const char *path = choose(paths[i].given, paths[i].variable);
    *paths[i].to = path != NULL ? strdup(path) : NULL;
    if (path != NULL && *paths[i].to == NULL) return OBSERVER_E_NOMEM;
  }
  return OBSERVER_E_OK;
}

observer_err obs_client_options_init(obs_client_options *o, const observer_options *given, char *text, size_t size) {
  *o = (obs_client_options){.mode = given->mode, .spool_sync = given->spool_sync};
  if (given->mode != OBSERVER_PUSH && given->mode != OBSERVER_PUB && given->mode != OBSERVER_ACKNOWLEDGED) {
    snprintf(text, size, "mode: %d is not a mode", (int)given->mode);
    return OBSERVER_E_INVALID;
  }
  if (given->spool != NULL && given->mode != OBSERVER_ACKNOWLEDGED) {
    snprintf(text, size, "spool: only in acknowledged mode");
    return OBSERVER_E_INVALID;
  }
  if (given->mode == OBSERVER_ACKNOWLEDGED) {
    o->on_delivery = given->on_delivery;
    o->delivery_arg = given->delivery_arg;
  }
  observer_err err = copy_numbers(o, given, text, size);
  if (err != OBSERVER_E_OK) return err;

  const char *const fallback[] = {default_urls[given->mode], NULL};
  const char *const *urls = given->urls != NULL ? given->urls : fallback;
  if (urls[0] == NULL) {
    snprintf(text, size, "urls: the list is empty");
    return OBSERVER_E_INVALID;
  }
  for (; urls[o->nurls] != NULL; o->nurls++) {
    if (o->nurls == OBS_CLIENT_URLS_MAX) {
      snprintf(text, size, "urls: more than %d", OBS_CLIENT_URLS_MAX);
      return OBSERVER_E_INVALID;
    }
    o->urls[o->nurls] = strdup(urls[o->nurls]);
    if (o->urls[o->nurls] == NULL) return OBSERVER_E_NOMEM;
  }
  err = copy_text(&o->source, "source", given->source, text, size);
  if (err == OBSERVER_E_OK) err = copy_text(&o->spool_path, "spool", given->spool, text, size);
  if (o->source != NULL) o->source_len = (uint32_t)strlen(o->source);
  if (err == OBSERVER_E_OK) err = copy_paths(o, given);
  if (err == OBSERVER_E_OK) err = copy_key(o, given, text, size);
  return err;
}

void obs_client_options_fini(obs_client_options *o) {
  for (size_t i = 0; i < o->nurls; i++) free(o->urls[i]);
  free(o->source);
  free(o->spool_path);
  obs_secret_free(o->key);
  free(o->key_file);
  free(o->tls_ca);
  free(o->tls_cert);
  free(o->tls_key);
  *o = (obs_client_options){0};
}

/* ---- names ---- */

/* The random part tells clients apart that open in the same millisecond, on one machine or two. */
observer_err obs_client_name(observer_client *c, const char *producer, char *text, size_t size) {
  char host[65] = "", fallback[PRODUCER_MAX];
  uint32_t lot;
  if (getrandom(&lot, sizeof(lot), 0) != sizeof(lot)) lot = (uint32_t)obs_clock_mono_ns() ^ (uint32_t)getpid() << 16;
  uint64_t now = (uint64_t)obs_clock_wall_ms();
  c->instance = now << 20 ^ (uint64_t)lot << 32 ^ lot;
  c->random = c->instance | 1;
  if (producer == NULL) {
    if (gethostname(host, sizeof(host) - 1) != 0) snprintf(host, sizeof(host), "localhost");
    snprintf(fallback, sizeof(fallback), "%.100s-%.64s-%ld", program_invocation_short_name, host, (long)getpid());
    producer = obs_client_text_valid(fallback, strlen(fallback)) ? fallback : "producer";
  }
  size_t n = strlen(producer);
  if (n == 0 || n >= PRODUCER_MAX || !obs_client_text_valid(producer, n)) {
    snprintf(text, size, "producer: empty, longer than %d bytes, or not UTF-8", PRODUCER_MAX - 1);
    return OBSERVER_E_INVALID;
  }
  int len = snprintf(c->prefix, sizeof(c->prefix), "%s-%" PRIx64 "%08" PRIx32 "-", producer, now, lot);
  c->prefix_len = (uint32_t)len;
  return OBSERVER_E_OK;
}
