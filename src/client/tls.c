#include "client/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- OpenSSL ends before the process does ---- */

/* Read by who is in OpenSSL; written, for ever, by its end. */
static pthread_rwlock_t in_use = PTHREAD_RWLOCK_INITIALIZER;

static void enter(void) {
  (void)pthread_rwlock_rdlock(&in_use); /* fails only for who holds it already, or too many */
}

static void leave(void) {
  (void)pthread_rwlock_unlock(&in_use);
}

static void stop_all(void) {
  (void)pthread_rwlock_wrlock(&in_use);
}

/* Where nobody else has begun with OpenSSL, it does not end at all: a program may close its clients while it exits. */
static void begin(void) {
  (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL); /* what fails here fails again at the first call */
  (void)OPENSSL_atexit(stop_all);
}

/* ---- files ---- */

static observer_err fail(const char *option, const char *path, const char *why, char *text, size_t size) {
  snprintf(text, size, "%s %s: %s", option, path, why);
  return OBSERVER_E_INVALID;
}

/* A private key with a passphrase is not usable: nobody is there to type it. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
  (void)buf;
  (void)size;
  (void)writing;
  (void)arg;
  return -1;
}

/* How many certificates there are, each given to `take`. -1: no memory, or one cannot be used. */
static int each_certificate(const obs_buf *pem, bool (*take)(SSL_CTX *context, X509 *cert, int n), SSL_CTX *context) {
  BIO *in = BIO_new_mem_buf(pem->p, (int)pem->len);
  int n = 0;
  bool ok = in != NULL;
  for (X509 *cert; ok && (cert = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) != NULL; n++) {
    ok = take(context, cert, n);
    X509_free(cert);
  }
  /* The end of the file is an error, too. */
  if (ok && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) ok = false;
  BIO_free(in);
  ERR_clear_error();
  return ok ? n : -1;
}

static bool trust_one(SSL_CTX *context, X509 *cert, int n) {
  (void)n;
  return X509_STORE_add_cert(SSL_CTX_get_cert_store(context), cert) == 1;
}

/* The first is this side's, those behind it lead to the authority. */
static bool own_one(SSL_CTX *context, X509 *cert, int n) {
  return (n == 0 ? SSL_CTX_use_certificate(context, cert) : SSL_CTX_add1_chain_cert(context, cert)) == 1;
}

static observer_err trust(SSL_CTX *context, const obs_pem_files *files, const char *url, char *text, size_t size) {
  const char *path = files->ca != NULL ? files->ca : OBS_PEM_FILE_AUTHORITIES;
  obs_buf pem = {0};
  int error = obs_pem_file_read(path, &pem);
  int n = error == 0 ? each_certificate(&pem, trust_one, context) : 0;
  const char *why = error != 0 ? strerror(error) : n <= 0 ? "it is no PEM file of certificates" : NULL;
  obs_buf_fini(&pem);
  if (why == NULL) return OBSERVER_E_OK;
  if (error == ENOMEM) return OBSERVER_E_NOMEM;
  if (files->ca != NULL) return fail("tls_ca", path, why, text, size);
  /* The user has not named that file. */
  snprintf(text, size, "tls_ca: it must be given for %s: the authorities of the system cannot be used: %s: %s", url,
           path, why);
  return OBSERVER_E_INVALID;
}

/* NULL, or why it is no use. */
static const char *use_key(SSL_CTX *context, const obs_buf *pem) {
  BIO *in = BIO_new_mem_buf(pem->p, (int)pem->len);
  EVP_PKEY *key = in != NULL ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL) : NULL;
  const char *why = NULL;
  if (key == NULL)
    why = "it is no PEM file of a private key without a passphrase";
  else if (SSL_CTX_use_PrivateKey(context, key) != 1)
    why = "it is not the key of tls_cert";
  EVP_PKEY_free(key);
  BIO_free(in);
  ERR_clear_error();
  return why;
}

static observer_err identify(SSL_CTX *context, const obs_pem_files *files, char *text, size_t size) {
  obs_buf cert = {0}, key = {0};
  observer_err err = OBSERVER_E_OK;
  const char *why;
  int error = obs_pem_file_read(files->cert, &cert), key_error = error == 0 ? obs_pem_file_read(files->key, &key) : 0;
  if (error == ENOMEM || key_error == ENOMEM)
    err = OBSERVER_E_NOMEM;
  else if (error != 0)
    err = fail("tls_cert", files->cert, strerror(error), text, size);
  else if (key_error != 0)
    err = fail("tls_key", files->key, strerror(key_error), text, size);
  else if (each_certificate(&cert, own_one, context) <= 0)
    err = fail("tls_cert", files->cert, "it is no PEM file of a certificate", text, size);
  else if ((why = use_key(context, &key)) != NULL)
    err = fail("tls_key", files->key, why, text, size);
  obs_buf_fini(&cert);
  obs_pem_file_forget(&key);
  return err;
}

static observer_err open_context(const obs_pem_files *files, const char *url, SSL_CTX **out, char *text, size_t size) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    SSL_CTX_free(context);
    ERR_clear_error();
    return OBSERVER_E_NOMEM;
  }
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  observer_err err = trust(context, files, url, text, size);
  if (err == OBSERVER_E_OK && files->cert != NULL) err = identify(context, files, text, size);
  if (err == OBSERVER_E_OK)
    *out = context;
  else
    SSL_CTX_free(context);
  return err;
}

observer_err obs_client_tls_open(const obs_pem_files *files, const char *url, SSL_CTX **out, char *text, size_t size) {
  *out = NULL;
  if ((files->cert == NULL) != (files->key == NULL)) {
    snprintf(text, size, "%s: needs %s too", files->cert != NULL ? "tls_cert" : "tls_key",
             files->cert != NULL ? "tls_key" : "tls_cert");
    return OBSERVER_E_INVALID;
  }
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (pthread_once(&once, begin) != 0) return OBSERVER_E_NOMEM;
  enter();
  observer_err err = open_context(files, url, out, text, size);
  leave();
  return err;
}

void obs_client_tls_close(SSL_CTX *context) {
  if (context == NULL) return;
  enter();
  SSL_CTX_free(context);
  leave();
}

/* ---- a connection ---- */

static bool is_address(const char *host) {
  ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
  bool is = ip != NULL;
  ASN1_OCTET_STRING_free(ip);
  ERR_clear_error();
  return is;
}

SSL *obs_client_tls_start(SSL_CTX *context, int fd, const char *host) {
  enter();
  SSL *tls = SSL_new(context);
  if (tls != NULL && SSL_set_fd(tls, fd) == 1 && (is_address(host) || SSL_set_tlsext_host_name(tls, host) == 1)) {
    SSL_set_connect_state(tls);
  } else {
    SSL_free(tls);
    tls = NULL;
    ERR_clear_error();
  }
  leave();
  return tls;
}

void obs_client_tls_end(SSL *tls, bool part) {
  if (tls == NULL) return;
  enter();
  ERR_clear_error();
  if (part) (void)SSL_shutdown(tls);
  SSL_free(tls);
  ERR_clear_error();
  leave();
}

static obs_client_tls_step step_of(SSL *tls, int rc) {
  switch (SSL_get_error(tls, rc)) {
  case SSL_ERROR_WANT_READ:
    return OBS_TLS_WANTS_READ;
  case SSL_ERROR_WANT_WRITE:
    return OBS_TLS_WANTS_WRITE;
  case SSL_ERROR_ZERO_RETURN:
    return OBS_TLS_ENDED;
  default:
    return OBS_TLS_FAILED;
  }
}

/* An IP address may also stand among the DNS names, where the Mbed TLS 2 of Debian 12 looked for it. */
static bool is_named(SSL *tls, const char *host) {
  X509 *cert = SSL_get0_peer_certificate(tls);
  if (cert == NULL) return false;
  return X509_check_ip_asc(cert, host, 0) == 1 ||
         X509_check_host(cert, host, strlen(host), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

obs_client_tls_step obs_client_tls_shake_hands(SSL *tls, const char *host) {
  enter();
  ERR_clear_error();
  int rc = SSL_do_handshake(tls);
  obs_client_tls_step step = rc != 1 ? step_of(tls, rc) : is_named(tls, host) ? OBS_TLS_DONE : OBS_TLS_MISNAMED;
  leave();
  return step;
}

obs_client_tls_step obs_client_tls_read(SSL *tls, void *to, size_t size, size_t *n) {
  enter();
  ERR_clear_error();
  int rc = SSL_read_ex(tls, to, size, n);
  obs_client_tls_step step = rc == 1 ? OBS_TLS_DONE : step_of(tls, rc);
  leave();
  return step;
}

obs_client_tls_step obs_client_tls_write(SSL *tls, const void *bytes, size_t size, size_t *n) {
  enter();
  ERR_clear_error();
  int rc = SSL_write_ex(tls, bytes, size, n);
  obs_client_tls_step step = rc == 1 ? OBS_TLS_DONE : step_of(tls, rc);
  leave();
  return step;
}

void obs_client_tls_explain(SSL *tls, obs_client_tls_step step, const char *host, bool has_cert, char *text,
                            size_t size) {
  static const char ask[] = ": does the daemon want a certificate of this side?";
  enter();
  unsigned long error = ERR_peek_last_error();
  long verified = SSL_get_verify_result(tls);
  const char *reason = ERR_reason_error_string(error);
  if (step == OBS_TLS_MISNAMED)
    snprintf(text, size, "TLS failed: the daemon's certificate does not name %s", host);
  else if (verified != X509_V_OK)
    snprintf(text, size, "TLS failed: the daemon's certificate is not trusted: %s",
             X509_verify_cert_error_string(verified));
  else if (error == 0 || ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    snprintf(text, size, "TLS failed: the daemon closed the connection%s", has_cert ? "" : ask);
  else
    snprintf(text, size, "TLS failed: %s%s", reason != NULL ? reason : "an error of OpenSSL", has_cert ? "" : ask);
  ERR_clear_error();
  leave();
}

bool obs_client_tls_sha1(const void *bytes, size_t n, unsigned char out[OBS_CLIENT_TLS_SHA1_BYTES]) {
  enter();
  bool ok = SHA1(bytes, n, out) != NULL;
  leave();
  return ok;
}
