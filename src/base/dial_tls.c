#include "base/dial_tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool obs_dial_tls_is(const char *url) {
  return strncmp(url, "tls+tcp", strlen("tls+tcp")) == 0 || strncmp(url, "wss", strlen("wss")) == 0;
}

void obs_dial_tls_host(const char *url, char *out, size_t size) {
  nng_url *parsed = NULL;
  out[0] = '\0';
  if (nng_url_parse(&parsed, url) != 0) return;
  snprintf(out, size, "%s", parsed->u_hostname != NULL ? parsed->u_hostname : "");
  nng_url_free(parsed);
}

static observer_err fail(const char *names, const char *option, const char *path, const char *why, char *text,
                         size_t size) {
  snprintf(text, size, "%s%s %s: %s", names, option, path, why);
  return OBSERVER_E_INVALID;
}

static observer_err trust(nng_tls_config *config, const obs_pem_files *tls, const char *url, const char *names,
                          char *text, size_t size) {
  const char *path = tls->ca != NULL ? tls->ca : OBS_PEM_FILE_AUTHORITIES;
  obs_buf pem = {0};
  int error = obs_pem_file_read(path, &pem);
  int rv = error == 0 ? nng_tls_config_ca_chain(config, pem.p, NULL) : 0;
  const char *why = error != 0 ? strerror(error) : rv != 0 ? "it is no PEM file of certificates" : NULL;
  observer_err err = why == NULL ? OBSERVER_E_OK : OBSERVER_E_INVALID;
  if (error == ENOMEM || rv == NNG_ENOMEM)
    err = OBSERVER_E_NOMEM;
  else if (why != NULL && tls->ca != NULL)
    err = fail(names, "ca", path, why, text, size);
  else if (why != NULL) /* the user has not named that file */
    snprintf(text, size, "%sca: it must be given for %s: the authorities of the system cannot be used: %s: %s", names,
             url, path, why);
  obs_buf_fini(&pem);
  return err;
}

static observer_err identify(nng_tls_config *config, const obs_pem_files *tls, const char *names, char *text,
                             size_t size) {
  obs_buf cert = {0}, key = {0};
  observer_err err = OBSERVER_E_OK;
  int error = obs_pem_file_read(tls->cert, &cert), key_error = error == 0 ? obs_pem_file_read(tls->key, &key) : 0;
  int rv = error == 0 && key_error == 0 ? nng_tls_config_own_cert(config, cert.p, key.p, NULL) : 0;
  if (error == ENOMEM || key_error == ENOMEM || rv == NNG_ENOMEM) {
    err = OBSERVER_E_NOMEM;
  } else if (error != 0) {
    err = fail(names, "cert", tls->cert, strerror(error), text, size);
  } else if (key_error != 0) {
    err = fail(names, "key", tls->key, strerror(key_error), text, size);
  } else if (rv != 0) {
    bool is_cert = cert.p != NULL && strstr(cert.p, "-----BEGIN CERTIFICATE-----") != NULL;
    err = is_cert ? fail(names, "key", tls->key, "it is no PEM file of a private key without a passphrase", text, size)
                  : fail(names, "cert", tls->cert, "it is no PEM file of a certificate", text, size);
  }
  obs_buf_fini(&cert);
  obs_pem_file_forget(&key);
  return err;
}

observer_err obs_dial_tls_config(const obs_pem_files *tls, const char *url, const char *names, nng_tls_config **out,
                                 char *text, size_t size) {
  char host[256];
  nng_tls_config *config = NULL;
  *out = NULL;
  snprintf(text, size, "%s", observer_strerror(OBSERVER_E_NOMEM));
  if ((tls->cert == NULL) != (tls->key == NULL)) {
    snprintf(text, size, "%s%s: needs %s%s too", names, tls->cert != NULL ? "cert" : "key", names,
             tls->cert != NULL ? "key" : "cert");
    return OBSERVER_E_INVALID;
  }
  obs_dial_tls_host(url, host, sizeof(host));
  if (nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT) != 0) return OBSERVER_E_NOMEM;
  observer_err err =
      nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED) == 0 && nng_tls_config_server_name(config, host) == 0
          ? OBSERVER_E_OK
          : OBSERVER_E_NOMEM;
  if (err == OBSERVER_E_OK) err = trust(config, tls, url, names, text, size);
  if (err == OBSERVER_E_OK && tls->cert != NULL) err = identify(config, tls, names, text, size);
  if (err == OBSERVER_E_OK) {
    text[0] = '\0';
    *out = config;
  } else {
    nng_tls_config_free(config);
  }
  return err;
}
