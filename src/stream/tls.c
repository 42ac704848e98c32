/* NNG gives a listener's configuration to a connection when accept is *called*, and to its handshake when the
 * connection is there. NNG_OPT_TLS_CONFIG may be set while a listener runs, but accept reads it without the lock that
 * setting takes (1.5.2 to 1.10): the server sets it under the lock under which it accepts, and calls accept anew, so
 * that the accept that waits does not give the next connection the former certificate. Each connection holds its own
 * configuration.
 *
 * NNG's engine takes any pair, also a key of another certificate, and then no handshake works: so all is looked at with
 * libcrypto first. */
#include "stream/tls.h"

#include "base/clock.h"
#include "base/log.h"
#include "stream/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CERT, KEY, CA, FILES };
/* SETTLE_MS: after it, files that do not work are no renewal that is under way. AGAIN_MS: a certificate whose time has
 * not come is tried again. */
enum { PEM_MAX = 1 << 20, SETTLE_MS = 900, AGAIN_MS = 60000, DIGEST_BYTES = 32 };
#define SOON_MS (30 * INT64_C(86400000))

static const char *const options[FILES] = {"tls-cert", "tls-key", "tls-ca"};

/* What tells whether a file has changed; all zero: it is not there. */
typedef struct {
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec written, changed;
} stamp;

/* The text of the files, and what the certificates say. */
typedef struct {
  char *text[FILES];
  size_t len[FILES];
  unsigned char digest[DIGEST_BYTES];
  mode_t key_mode;
  int64_t begins_ms, expires_ms, ca_expires_ms;
} material;

typedef enum { LASTS, EXPIRES_SOON, EXPIRED } validity;

struct obs_tls {
  char *paths[FILES];
  nng_tls_config *config; /* NULL: no listener has asked yet */
  OBS_VEC(obs_stream_listener *) listeners;
  stamp seen[FILES]; /* when they were last read */
  uint64_t again_at; /* monotonic ms: they are read once more, changed or not; 0: no need */
  unsigned char used[DIGEST_BYTES], doubted[DIGEST_BYTES], refused[DIGEST_BYTES];
  validity logged;

  pthread_mutex_t lock; /* of status */
  obs_tls_status status;
};

/* ---- files ---- */

static void fini(material *m) {
  for (int i = 0; i < FILES; i++) {
    if (m->text[i] != NULL) OPENSSL_cleanse(m->text[i], m->len[i]);
    free(m->text[i]);
  }
}

/* Reads what is in `fd`, but a byte more than may be. Returns an errno. */
static int read_text(int fd, char **text, size_t *len) {
  *len = 0;
  *text = malloc(PEM_MAX + 2);
  if (*text == NULL) return ENOMEM;
  for (ssize_t n; *len <= PEM_MAX;) {
    n = read(fd, *text + *len, PEM_MAX + 1 - *len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    *len += (size_t)n;
  }
  (*text)[*len] = '\0';
  return 0;
}

/* `again`: while the daemon runs, when no pipe may be waited for. False, and why. */
static bool read_file(int which, const char *path, bool again, material *out, char *why, size_t size) {
  struct stat st = {0};
  char **text = &out->text[which];
  size_t *len = &out->len[which];
  int fd = open(path, O_RDONLY | O_CLOEXEC | (again ? O_NONBLOCK : 0));
  int failed = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
  bool readable = !again || S_ISREG(st.st_mode);
  if (failed == 0 && readable) failed = read_text(fd, text, len);
  if (fd >= 0) (void)close(fd);
  if (failed != 0)
    (void)snprintf(why, size, "%s %s: cannot be read: %s", options[which], path, strerror(failed));
  else if (!readable)
    (void)snprintf(why, size, "%s %s: is no file that can be read again", options[which], path);
  else if (*len == 0)
    (void)snprintf(why, size, "%s %s: is empty", options[which], path);
  else if (*len > PEM_MAX || strlen(*text) != *len)
    (void)snprintf(why, size, "%s %s: is not PEM text of at most 1 MiB", options[which], path);
  else {
    if (which == KEY) out->key_mode = st.st_mode & 0777;
    return true;
  }
  return false;
}

/* The digest is of what was read, or why it could not be, so that the same trouble is known again. */
static bool read_all(const obs_tls *t, bool again, material *out, char *why, size_t size) {
  bool good = true, hashed;
  EVP_MD_CTX *md = EVP_MD_CTX_new();
  hashed = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
  for (int i = 0; i < FILES && hashed; i++) {
    if (good && t->paths[i] != NULL) good = read_file(i, t->paths[i], again, out, why, size);
    hashed = EVP_DigestUpdate(md, &out->len[i], sizeof out->len[i]) == 1 &&
             (out->len[i] == 0 || EVP_DigestUpdate(md, out->text[i], out->len[i]) == 1);
  }
  hashed = hashed && (good || EVP_DigestUpdate(md, why, strlen(why)) == 1);
  hashed = hashed && EVP_DigestFinal_ex(md, out->digest, NULL) == 1;
  EVP_MD_CTX_free(md);
  if (good && !hashed) (void)snprintf(why, size, "%s", observer_strerror(OBSERVER_E_NOMEM));
  return good && hashed;
}

static void take_stamps(const obs_tls *t, stamp out[FILES]) {
  for (int i = 0; i < FILES; i++) {
    struct stat st;
    out[i] = (stamp){0};
    if (t->paths[i] != NULL && stat(t->paths[i], &st) == 0)
      out[i] = (stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim, st.st_ctim};
  }
}

static bool same_time(struct timespec a, struct timespec b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamps(const stamp a[FILES], const stamp b[FILES]) {
  bool same = true;
  for (int i = 0; i < FILES; i++)
    same = same && a[i].device == b[i].device && a[i].inode == b[i].inode && a[i].size == b[i].size &&
           same_time(a[i].written, b[i].written) && same_time(a[i].changed, b[i].changed);
  return same;
}

/* ---- what they say ---- */

static int64_t ms_of(const ASN1_TIME *time) {
  struct tm tm;
  return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static uint32_t count_begins(const char *text) {
  static const char begin[] = "-----BEGIN CERTIFICATE-----";
  uint32_t n = 0;
  for (const char *p = text; (p = strstr(p, begin)) != NULL; p += sizeof begin - 1) n++;
  return n;
}

/* What all certificates of a file say together. */
typedef struct {
  uint32_t n;
  int64_t begins_ms, first_end_ms, last_end_ms;
  X509 *first;
} certificates;

/* False: one of them is cut off or damaged, or there is none. */
static bool parse_certificates(const char *text, size_t len, certificates *out) {
  BIO *bio = BIO_new_mem_buf(text, (int)len);
  *out = (certificates){.begins_ms = INT64_MIN, .first_end_ms = INT64_MAX, .last_end_ms = INT64_MIN};
  for (X509 *x; bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; out->n++) {
    int64_t begin = ms_of(X509_get0_notBefore(x)), end = ms_of(X509_get0_notAfter(x));
    if (begin > out->begins_ms) out->begins_ms = begin;
    if (end < out->first_end_ms) out->first_end_ms = end;
    if (end > out->last_end_ms) out->last_end_ms = end;
    if (out->first == NULL)
      out->first = x;
    else
      X509_free(x);
  }
  BIO_free(bio);
  return out->n > 0 && out->n == count_begins(text);
}

/* A key with a passphrase cannot be used: nobody is asked for one. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
  (void)buf, (void)size, (void)writing, (void)arg;
  return -1;
}

static EVP_PKEY *parse_key(const char *text, size_t len) {
  BIO *bio = BIO_new_mem_buf(text, (int)len);
  EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
  BIO_free(bio);
  return key;
}

/* Whether the files fit together. False, and why. */
static bool understand(const obs_tls *t, material *m, char *why, size_t size) {
  certificates own, ca = {0};
  EVP_PKEY *key = parse_key(m->text[KEY], m->len[KEY]);
  bool whole = parse_certificates(m->text[CERT], m->len[CERT], &own);
  bool ca_whole = m->text[CA] == NULL || parse_certificates(m->text[CA], m->len[CA], &ca);
  bool fits = whole && key != NULL && X509_check_private_key(own.first, key) == 1;
  if (!whole)
    (void)snprintf(why, size, "tls-cert %s: %s", t->paths[CERT],
                   own.n == 0 ? "holds no whole certificate (PEM)" : "a certificate of its chain is not whole");
  else if (key == NULL)
    (void)snprintf(why, size, "tls-key %s: holds no private key that can be read (PEM, without a passphrase)",
                   t->paths[KEY]);
  else if (!fits)
    (void)snprintf(why, size, "tls-key %s: is not the key of tls-cert %s", t->paths[KEY], t->paths[CERT]);
  else if (!ca_whole)
    (void)snprintf(why, size, "tls-ca %s: %s", t->paths[CA],
                   ca.n == 0 ? "holds no whole certificate (PEM)" : "one of its certificates is not whole");
  m->begins_ms = own.begins_ms;
  m->expires_ms = own.first_end_ms;
  m->ca_expires_ms = m->text[CA] != NULL ? ca.last_end_ms : 0;
  X509_free(own.first);
  X509_free(ca.first);
  EVP_PKEY_free(key);
  ERR_clear_error();
  return fits && ca_whole;
}

/* Whether clients would accept it now, and could be accepted. False, and why. */
static bool is_current(const obs_tls *t, const material *m, char *why, size_t size) {
  char when[OBS_ISO8601_LEN + 1];
  int64_t now = obs_clock_wall_ms();
  bool expired = m->expires_ms <= now, early = m->begins_ms > now;
  bool ca_expired = m->ca_expires_ms != 0 && m->ca_expires_ms <= now;
  obs_clock_format(expired ? m->expires_ms : early ? m->begins_ms : m->ca_expires_ms, when);
  if (expired || early)
    (void)snprintf(why, size, "tls-cert %s: %s %s", t->paths[CERT], expired ? "expired at" : "is not valid before",
                   when);
  else if (ca_expired)
    (void)snprintf(why, size, "tls-ca %s: expired at %s", t->paths[CA], when);
  return !expired && !early && !ca_expired;
}

static nng_tls_config *make_config(const obs_tls *t, const material *m, char *why, size_t size) {
  nng_tls_config *config = NULL;
  int rv = nng_tls_config_alloc(&config, NNG_TLS_MODE_SERVER);
  if (rv == 0) rv = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3);
  bool own = rv == 0 && (rv = nng_tls_config_own_cert(config, m->text[CERT], m->text[KEY], NULL)) != 0;
  if (rv == 0 && m->text[CA] != NULL) rv = nng_tls_config_ca_chain(config, m->text[CA], NULL);
  if (rv == 0)
    rv = nng_tls_config_auth_mode(config, m->text[CA] != NULL ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE);
  if (rv == 0) return config;
  (void)snprintf(why, size, "%s %s: NNG's TLS cannot use it%s: %s", options[own || m->text[CA] == NULL ? CERT : CA],
                 t->paths[own || m->text[CA] == NULL ? CERT : CA],
                 own ? " (keys may be RSA, or EC on P-256, P-384 or P-521)" : "", nng_strerror(rv));
  if (config != NULL) nng_tls_config_free(config);
  return NULL;
}

/* ---- in use ---- */

/* Says so when the end of what is in use comes near. */
static void log_validity(obs_tls *t) {
  char when[OBS_ISO8601_LEN + 1];
  obs_tls_status s;
  obs_tls_get_status(t, &s);
  bool ca = s.ca_expires_ms != 0 && s.ca_expires_ms < s.expires_ms;
  int64_t end = ca ? s.ca_expires_ms : s.expires_ms, left = end - obs_clock_wall_ms();
  validity now = left <= 0 ? EXPIRED : left <= SOON_MS ? EXPIRES_SOON : LASTS;
  if (now == t->logged) return;
  t->logged = now;
  obs_clock_format(end, when);
  if (now == EXPIRED)
    obs_log_error("stream", "%s %s: expired at %s: %s; put a new one there", options[ca ? CA : CERT],
                  t->paths[ca ? CA : CERT], when, ca ? "no client is let in" : "clients refuse it");
  else if (now == EXPIRES_SOON)
    obs_log_warn("stream", "%s %s: expires at %s", options[ca ? CA : CERT], t->paths[ca ? CA : CERT], when);
}

static void adopt(obs_tls *t, nng_tls_config *config, const material *m, bool reload) {
  if ((m->key_mode & 0007) != 0)
    obs_log_warn("stream", "tls-key %s: mode %04o: every user of this machine can use the private key; chmod 0600 it",
                 t->paths[KEY], (unsigned)m->key_mode);
  if (t->config != NULL) nng_tls_config_free(t->config);
  t->config = config;
  memcpy(t->used, m->digest, DIGEST_BYTES);
  t->logged = LASTS;
  pthread_mutex_lock(&t->lock);
  t->status.used = true;
  t->status.expires_ms = m->expires_ms;
  t->status.ca_expires_ms = m->ca_expires_ms;
  t->status.reloads += reload;
  t->status.problem[0] = '\0';
  pthread_mutex_unlock(&t->lock);
}

/* For the first listener. One that has expired is used, and said: a daemon that does not start records nothing. */
static observer_err read_first(obs_tls *t, char *why, size_t size) {
  char not_current[OBS_TLS_PROBLEM_MAX];
  material m = {0};
  take_stamps(t, t->seen);
  bool good = read_all(t, false, &m, why, size) && understand(t, &m, why, size);
  nng_tls_config *config = good ? make_config(t, &m, why, size) : NULL;
  if (config != NULL) {
    adopt(t, config, &m, false);
    if (!is_current(t, &m, not_current, sizeof not_current) && m.begins_ms > obs_clock_wall_ms())
      obs_log_error("stream", "%s: clients refuse it until then", not_current);
    log_validity(t);
    t->again_at = obs_clock_mono_ms() + SETTLE_MS;
  }
  fini(&m);
  return config != NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID;
}

observer_err obs_tls_attach(obs_tls *t, obs_stream_listener *l, char *why, size_t size) {
  if (t == NULL || t->paths[CERT] == NULL || t->paths[KEY] == NULL) {
    (void)snprintf(why, size, "needs --tls-cert and --tls-key");
    return OBSERVER_E_INVALID;
  }
  observer_err err = t->config == NULL ? read_first(t, why, size) : OBSERVER_E_OK;
  if (err != OBSERVER_E_OK) return err;
  int rv = obs_stream_listener_set_tls(l, t->config);
  obs_stream_listener **place = rv == 0 ? OBS_VEC_PUSH(&t->listeners) : NULL;
  if (place == NULL) {
    (void)snprintf(why, size, "TLS: %s", rv != 0 ? nng_strerror(rv) : observer_strerror(OBSERVER_E_NOMEM));
    return rv != 0 ? OBSERVER_E_NET : OBSERVER_E_NOMEM;
  }
  *place = l;
  return OBSERVER_E_OK;
}

void obs_tls_detach(obs_tls *t, const obs_stream_listener *l) {
  for (uint32_t i = 0; t != NULL && i < t->listeners.n; i++)
    if (t->listeners.at[i] == l) t->listeners.at[i--] = t->listeners.at[--t->listeners.n];
}

/* ---- changes ---- */

/* Gives it to all listeners: none, and why, when one of them does not take it. */
static bool exchange(obs_tls *t, nng_tls_config *config, char *why, size_t size) {
  int rv = 0;
  uint32_t done = 0;
  while (rv == 0 && done < t->listeners.n) {
    rv = obs_stream_listener_set_tls(t->listeners.at[done], config);
    done += rv == 0;
  }
  if (rv == 0) return true;
  (void)snprintf(why, size, "TLS: %s", nng_strerror(rv));
  while (done > 0) (void)obs_stream_listener_set_tls(t->listeners.at[--done], t->config); /* it took one before */
  return false;
}

static obs_tls_change accept_files(obs_tls *t, nng_tls_config *config, const material *m) {
  char when[OBS_ISO8601_LEN + 1];
  adopt(t, config, m, true);
  memset(t->doubted, 0, DIGEST_BYTES);
  obs_clock_format(m->expires_ms, when);
  obs_log_info("stream", "tls-cert %s: read again, for new connections; expires at %s", t->paths[CERT], when);
  return OBS_TLS_RELOADED;
}

static obs_tls_change refuse_files(obs_tls *t, const material *m, const char *why) {
  memcpy(t->refused, m->digest, DIGEST_BYTES);
  pthread_mutex_lock(&t->lock);
  t->status.refused++;
  (void)snprintf(t->status.problem, sizeof t->status.problem, "%s", why);
  pthread_mutex_unlock(&t->lock);
  obs_log_error("stream", "%s; the certificate that was read before stays in use", why);
  return OBS_TLS_REFUSED;
}

/* They are again what is in use. */
static void forget_problem(obs_tls *t) {
  pthread_mutex_lock(&t->lock);
  bool had = t->status.problem[0] != '\0';
  t->status.problem[0] = '\0';
  pthread_mutex_unlock(&t->lock);
  memset(t->refused, 0, DIGEST_BYTES);
  memset(t->doubted, 0, DIGEST_BYTES);
  if (had) obs_log_info("stream", "tls-cert %s: is again the certificate that is in use", t->paths[CERT]);
}

/* Reads the files and decides. `certain`: what does not work now is not looked at once more before it is said. */
static obs_tls_change read_again(obs_tls *t, bool certain) {
  char why[OBS_TLS_PROBLEM_MAX];
  material m = {0};
  nng_tls_config *config = NULL;
  obs_tls_change change = OBS_TLS_UNCHANGED;
  uint64_t now = obs_clock_mono_ms();
  bool read = read_all(t, true, &m, why, sizeof why), in_use = read && memcmp(m.digest, t->used, DIGEST_BYTES) == 0;
  bool good = read && !in_use && understand(t, &m, why, sizeof why) && is_current(t, &m, why, sizeof why);
  if (good) config = make_config(t, &m, why, sizeof why);
  if (in_use) {
    forget_problem(t);
    t->again_at = 0;
  } else if (config != NULL && exchange(t, config, why, sizeof why)) {
    change = accept_files(t, config, &m);
    config = NULL;
    t->again_at = now + SETTLE_MS;
  } else if (certain || memcmp(m.digest, t->doubted, DIGEST_BYTES) == 0) {
    if (certain || memcmp(m.digest, t->refused, DIGEST_BYTES) != 0) change = refuse_files(t, &m, why);
    t->again_at = now + AGAIN_MS;
  } else {
    memcpy(t->doubted, m.digest, DIGEST_BYTES);
    t->again_at = now + SETTLE_MS;
  }
  if (config != NULL) nng_tls_config_free(config);
  fini(&m);
  return change;
}

obs_tls_change obs_tls_tick(obs_tls *t, bool force) {
  stamp now[FILES];
  if (t == NULL || t->config == NULL) return OBS_TLS_UNCHANGED;
  take_stamps(t, now);
  bool due = t->again_at != 0 && obs_clock_mono_ms() >= t->again_at;
  bool changed = !same_stamps(now, t->seen);
  memcpy(t->seen, now, sizeof now);
  obs_tls_change change = force || changed || due ? read_again(t, force) : OBS_TLS_UNCHANGED;
  /* A second write within the grain of the file system's clock has the same stamp. */
  if (changed && t->again_at == 0) t->again_at = obs_clock_mono_ms() + SETTLE_MS;
  log_validity(t);
  return change;
}

/* ---- life ---- */

observer_err obs_tls_open(const char *cert, const char *key, const char *ca, obs_tls **out) {
  const char *const paths[FILES] = {cert, key, ca};
  obs_tls *t = calloc(1, sizeof *t);
  *out = t;
  if (t == NULL) return OBSERVER_E_NOMEM;
  pthread_mutex_init(&t->lock, NULL); /* the default kind does not fail */
  for (int i = 0; i < FILES; i++) {
    if (paths[i] == NULL || (t->paths[i] = strdup(paths[i])) != NULL) continue;
    obs_tls_close(t);
    *out = NULL;
    return OBSERVER_E_NOMEM;
  }
  return OBSERVER_E_OK;
}

void obs_tls_close(obs_tls *t) {
  if (t == NULL) return;
  if (t->config != NULL) nng_tls_config_free(t->config);
  for (int i = 0; i < FILES; i++) free(t->paths[i]);
  OBS_VEC_FINI(&t->listeners);
  pthread_mutex_destroy(&t->lock);
  free(t);
}

bool obs_tls_wants_clients(const obs_tls *t) {
  return t != NULL && t->paths[CA] != NULL;
}

obs_pem_files obs_tls_of_dialers(const obs_tls *t) {
  if (t == NULL) return (obs_pem_files){0};
  return (obs_pem_files){.ca = t->paths[CA], .cert = t->paths[CERT], .key = t->paths[KEY]};
}

void obs_tls_get_status(obs_tls *t, obs_tls_status *out) {
  *out = (obs_tls_status){0};
  if (t == NULL) return;
  pthread_mutex_lock(&t->lock);
  *out = t->status;
  pthread_mutex_unlock(&t->lock);
}
