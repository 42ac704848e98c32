/* Redaction: what each kind finds and leaves alone, tokens, messages of both formats, patterns, the prefilter, the key.
 */
#include "redact/internal.h"
#include "redact/token.h"

#include "base/msgpack_cursor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t key[OBS_REDACT_KEY_BYTES] = "a key of thirty-two bytes, fixed";

static obs_redact *open_with(obs_redact_kinds kinds, const char *const *patterns, size_t n) {
  char error[256];
  obs_redact *r = NULL;
  if (obs_redact_open(kinds, patterns, n, key, &r, error, sizeof(error)) != OBSERVER_E_OK) fail_msg("%s", error);
  return r;
}

/* The text as it is after redaction, NUL-terminated; to be freed. */
static char *redacted(obs_redact *r, const char *text, size_t n) {
  obs_buf out = {0};
  char *exact = malloc(n + 1); /* AddressSanitizer sees a look beyond the end */
  assert_non_null(exact);
  memcpy(exact + 1, text, n);
  if (!obs_redact_text(r, (obs_str){exact + 1, (uint32_t)n, 0}, &out)) {
    assert_int_equal(out.len, 0);
    obs_buf_append(&out, text, n);
  }
  free(exact);
  obs_buf_putc(&out, '\0');
  assert_false(out.oom);
  return out.p;
}

/* ---- each kind ---- */

/* Letters and digits as a random key has them, for the samples: {N} stands for N of them, {hN} for hexadecimal ones. */
static void expand(const char *sample, obs_buf *out) {
  static const char any[] = "aK3xQ9vTz7Lm2Rb8WnYc4JdPf6HsG5uEo1iVtX0gSwCkZqBNhDyMrUlAjFpOeI";
  static const char hex[] = "9f3c1a7be042d85613fa";
  for (const char *p = sample; *p != '\0'; p++) {
    unsigned n;
    char kind = 0;
    int len = 0;
    if (sscanf(p, "{h%u}%n", &n, &len) == 1 && len > 0)
      kind = 'h';
    else if (sscanf(p, "{%u}%n", &n, &len) == 1 && len > 0)
      kind = 'a';
    if (kind == 0) {
      obs_buf_putc(out, *p);
      continue;
    }
    for (unsigned i = 0; i < n; i++)
      obs_buf_putc(out, kind == 'h' ? hex[i % (sizeof(hex) - 1)] : any[i % (sizeof(any) - 1)]);
    p += len - 1;
  }
}

/* In a sample what is redacted stands between « and ». */
static void assert_finds(obs_redact *r, const char *sample, const char *kind) {
  obs_buf marked = {0}, plain = {0}, secret = {0}, want = {0};
  char token[OBS_REDACT_TOKEN_MAX + 1];
  expand(sample, &marked);
  obs_buf_putc(&marked, '\0');
  const char *open = strstr(marked.p, "\xc2\xab"), *close = strstr(marked.p, "\xc2\xbb");
  assert_non_null(open);
  assert_non_null(close);
  obs_buf_append(&secret, open + 2, (size_t)(close - open - 2));
  obs_buf_append(&plain, marked.p, (size_t)(open - marked.p));
  obs_buf_append(&plain, secret.p, secret.len);
  obs_buf_puts(&plain, close + 2);
  char *got = redacted(r, plain.p, plain.len);
  char prefix[OBS_REDACT_NAME_MAX + 3];
  snprintf(prefix, sizeof(prefix), "[%s_", kind);
  const char *at = got + (open - marked.p);
  if (strncmp(at, prefix, strlen(prefix)) != 0) fail_msg("%s\n  became %s", sample, got);
  size_t len = obs_redact_token(at, strlen(at));
  assert_int_equal(len, strlen(kind) + OBS_REDACT_HEX + 3);
  memcpy(token, at, len);
  token[len] = '\0';
  obs_buf_append(&want, marked.p, (size_t)(open - marked.p));
  obs_buf_puts(&want, token);
  obs_buf_puts(&want, close + 2);
  obs_buf_putc(&want, '\0');
  assert_string_equal(got, want.p);
  char *again = redacted(r, got, strlen(got)); /* a token stays */
  assert_string_equal(again, got);
  free(again);
  free(got);
  obs_buf_fini(&marked);
  obs_buf_fini(&plain);
  obs_buf_fini(&secret);
  obs_buf_fini(&want);
}

static void assert_leaves(obs_redact *r, const char *sample) {
  obs_buf plain = {0};
  expand(sample, &plain);
  char *got = redacted(r, plain.p, plain.len);
  obs_buf_putc(&plain, '\0');
  if (strcmp(got, plain.p) != 0) fail_msg("%s\n  became %s", sample, got);
  free(got);
  obs_buf_fini(&plain);
}

static const char *const secrets[][2] = {
    {"key «sk-{48}» was refused", "API_KEY"},
    {"«sk-proj-{40}_{40}-{20}»", "API_KEY"},
    {"invalid x-api-key: «sk-ant-api03-{40}-{40}AA»", "API_KEY"},
    {"(«sk-or-v1-{h64}»)", "API_KEY"},
    {"key=«sk-lf-9f3c1a7b-e042-4d85-a613-fa0011223344»", "API_KEY"},
    {"stripe «sk_live_{24}» declined", "API_KEY"},
    {"«rk_test_{24}»", "API_KEY"},
    {"«whsec_{32}»", "API_KEY"},
    {"id «AKIAQ3XV7ZTLM2RBWNYC» unknown", "API_KEY"},
    {"id «AKIAQ3XV7ZTLM2RBWNYC»", "API_KEY"},
    {"id «ASIAQ3XV7ZTLM2RBWNYC», of a session", "API_KEY"},
    {"«ghp_{36}»", "API_KEY"},
    {"token «github_pat_{22}_{59}».", "API_KEY"},
    {"remote: «ghs_{36}» expired", "API_KEY"},
    {"«glpat-{20}» has no scope", "API_KEY"},
    {"«glptt-{h40}»", "API_KEY"},
    {"slack said: «xoxb-263594206564-2343594206574-{24}»", "API_KEY"},
    {"«xapp-1-A0123456789-1234567890123-{h64}»", "API_KEY"},
    {"https://hooks.slack.com/services/«T01234567/B01234567/{24}» answered 404", "API_KEY"},
    {"{\\\"hook\\\":\\\"https://hooks.slack.com/services/«T01234567/B01234567/{24}»\\\" ok", "API_KEY"},
    {"https://hooks.slack.com/services/«T01234567/B01234567/{24}»\\nnext", "API_KEY"},
    {"?key=«AIza{35}»&q=1", "API_KEY"},
    {"«GOCSPX-{28}»", "API_KEY"},
    {"«ya29.{60}»", "API_KEY"},
    {"HF_TOKEN=«hf_{34}»", "API_KEY"},
    {"«gsk_{52}»", "API_KEY"},
    {"«xai-{80}»", "API_KEY"},
    {"«SG.{22}.{43}»", "API_KEY"},
    {"//registry/:_authToken=«npm_{36}»", "API_KEY"},
    {"«pypi-AgEIcHlwaS5vcmc{60}»", "API_KEY"},
    {"«shpat_{h32}»", "API_KEY"},
    {"«dop_v1_{h64}»", "API_KEY"},
    {"«hvs.{90}»", "API_KEY"},
    {"«dapi{h32}»", "API_KEY"},
    {"AccountName=a;AccountKey=«{86}==»;EndpointSuffix=core", "API_KEY"},
    {"the key «obs_i_abcdefgh_{43}_{6}» is revoked", "API_KEY"},
    {"cut off: «ghp_{18}»", "API_KEY"},
    {"one\\n«ghp_{36}»\\ntwo", "API_KEY"}, /* as in JSON inside a string */
    {"one\\\\n«ghp_{36}»", "API_KEY"},     /* and inside another one */
    {"'one\\t«sk-proj-{40}»'", "API_KEY"},
    {"b'one\\r\\n«xoxb-263594206564-{24}»'", "API_KEY"},
    {"'\\x1b[31m«glpat-{20}»\\x1b[0m'", "API_KEY"},
    {"\x1b[1;31m«ghp_{36}»\x1b[0m", "API_KEY"},
    {"'\\x00«AKIAQ3XV7ZTLM2RBWNYC»'", "API_KEY"},
    {"out\\tBearer «{24}»", "AUTH"},
    {"out\\nbasic «dXNlcjpwYXNzd29yZA==»", "AUTH"},
    {"x\\f«eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0»", "JWT"},
    {"GET /x?q=a%20«ghp_{36}»", "API_KEY"},
    {"token%3D«sk_live_{24}»%26x", "API_KEY"},
    {"cmd=a%0ABearer «{24}»", "AUTH"},
    {"longer than any: «ghp_{400}»", "API_KEY"},
    {"«sk-proj-{700}»", "API_KEY"},
    {"«sk-{900}»", "API_KEY"},
    {"«sk_live_{500}»!", "API_KEY"},
    {"«AKIAQ3XV7ZTLM2RBWNYCQ3XV7ZTLM2RBWNYC»", "API_KEY"},
    {"«npm_{37}»", "API_KEY"},
    {"«dapi{h40}»", "API_KEY"},
    {"«obs_r_abcdefgh_{43}_{6}aaaa»", "API_KEY"},
    {"«AIza{35}»", "API_KEY"},
    {"«AIza{35}»-retry", "API_KEY"},
    {"«AIza{35}»_x", "API_KEY"},
    {"«AIza{50}»", "API_KEY"},
    {"«GOCSPX-{28}»-", "API_KEY"},
    {"job «shpat_{h32}»_done", "API_KEY"},
    {"«PMAK-{24}-{34}»-old", "API_KEY"},
    {"aws_secret_access_key = «{40}»", "AWS_SECRET"},
    {"\"SecretAccessKey\": \"«{40}»\", \"Token\"", "AWS_SECRET"},
    {"AWS_SECRET_ACCESS_KEY=«{38}/+»", "AWS_SECRET"},
    {"{\\\"secretAccessKey\\\":\\\"«{40}»\\\"}", "AWS_SECRET"},
    {"cookie «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{43}» is old", "JWT"},
    {"unsigned «eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0»., too", "JWT"},
    {"Authorization: Bearer «{40}»", "AUTH"},
    {"authorization=Bearer «a1b2c3d4»", "AUTH"},
    {"header 'Authorization: Basic «dXNlcjpwYXNzd29yZA==»' sent", "AUTH"},
    {"Authorization: token «{20}»", "AUTH"},
    {"curl -H \"authorization: «{32}»\"", "AUTH"},
    {"sent bearer «mF_9.B5f-4.1JqM»", "AUTH"},
    {"Authorization: Bearer «ghp_{36}»", "API_KEY"},
    {"Authorization: Bearer «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{43}»", "JWT"},
    {"got «-----BEGIN PRIVATE KEY-----\nMIIE{60}\n{64}\n{12}==\n-----END PRIVATE KEY-----»\nand more", "PRIVATE_KEY"},
    {"got «-----BEGIN RSA PRIVATE KEY-----\\nMIIE{60}\\n{64}\\n-----END RSA PRIVATE KEY-----»\\n", "PRIVATE_KEY"},
    {"«-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl{60}\n{33}»", "PRIVATE_KEY"},
    {"«-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{h32}\n\n{64}\n-----END RSA "
     "PRIVATE "
     "KEY-----»",
     "PRIVATE_KEY"},
    {"> «-----BEGIN PRIVATE KEY-----\n> MIIE{60}\n> {64}\n> {12}==\n> -----END PRIVATE KEY-----»\n> and more",
     "PRIVATE_KEY"},
    {"+«-----BEGIN RSA PRIVATE KEY-----\n+MIIE{60}\n+{64}\n+-----END RSA PRIVATE KEY-----»\n-x", "PRIVATE_KEY"},
    {"| «-----BEGIN PRIVATE KEY-----  |\n| MIIE{60} |\n| {64} |\n| {30}= |\n| -----END PRIVATE KEY-----» |",
     "PRIVATE_KEY"},
    {"  1  «-----BEGIN EC PRIVATE KEY-----\n  2  MHcC{60}\n  3  {64}\n  4  {36}==\n  5  -----END EC PRIVATE KEY-----»",
     "PRIVATE_KEY"},
    {"k = \"«-----BEGIN PRIVATE KEY-----\\n\" +\n    \"MIIE{60}\\n\" +\n    \"{20}\\n\" +\n    \"-----END PRIVATE "
     "KEY-----»\\n\";",
     "PRIVATE_KEY"},
    {"2026-01-15T09:30:00Z app | «-----BEGIN PRIVATE KEY-----\n2026-01-15T09:30:00Z app | "
     "MC4C{60}\n2026-01-15T09:30:00Z app | "
     "-----END PRIVATE KEY-----»",
     "PRIVATE_KEY"},
    {"> «-----BEGIN RSA PRIVATE KEY-----\n> Proc-Type: 4,ENCRYPTED\n> DEK-Info: AES-128-CBC,{h32}\n>\n> {64}\n> "
     "{64}\n> -----END RSA "
     "PRIVATE KEY-----»",
     "PRIVATE_KEY"},
    {"> «-----BEGIN PRIVATE KEY-----\n> MIIE{60}\n> {64}»", "PRIVATE_KEY"}, /* cut off */
    {"...\n> «{64}\n> {64}\n> {20}\n> -----END EC PRIVATE KEY-----»", "PRIVATE_KEY"},
    {"...«{40}\n{64}\n{20}\n-----END EC PRIVATE KEY-----»", "PRIVATE_KEY"},
    {"-----BEGIN PGP PUBLIC KEY BLOCK-----, then «-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{64}\n=aK3x\n-----END PGP "
     "PRIVATE "
     "KEY BLOCK-----»",
     "PRIVATE_KEY"},
    {"postgres://app:«s3cr3t»@db.internal:5432/main", "URL_PASSWORD"},
    {"amqp://guest:«p@ss»@mq/", "URL_PASSWORD"},
    {"redis://:«hunter2»@10.0.0.1:6379", "URL_PASSWORD"},
    {"https:\\/\\/u:«pw»@h.example\\/x", "URL_PASSWORD"},
    {"mongodb://u:«a/b»@h/db", "URL_PASSWORD"},
    {"clone https://x-access-token:«ghs_{36}»@github.com/a/b", "API_KEY"},
    {"GET /x?user=a&password=«hunter2»&z=1", "URL_SECRET"},
    {"https://h/cb?access_token=«abcdefgh12»", "URL_SECRET"},
    {"https://s/b?sv=1&sig=«abc%2Fdef%3D»", "URL_SECRET"},
    {"/f?X-Amz-Signature=«{h64}»&x=1", "URL_SECRET"},
    {"jdbc:sqlserver://h;user=a;password=«hunter2»;x=1", "URL_SECRET"},
    {"/q?apiKey=«abcdef»", "URL_SECRET"},
    {"https://h/cb#access_token=«abcdefgh12»&state=1", "URL_SECRET"},
    {"/x?passphrase=«hunter2»", "URL_SECRET"},
    {"/x?password=«$ecret1»", "URL_SECRET"},
    {"next=https%3A%2F%2Fh%2Fcb%3Ftoken%3D«abcdefgh12»%26a%3D1", "URL_SECRET"},
    {"/x?u=a%26api_key%3D«abcdef»", "URL_SECRET"},
    {"dsn=postgres%3A%2F%2Fu%3A«s3cr3t»%40h%2Fdb", "URL_PASSWORD"},
    {"dsn=redis%3a%2f%2f%3a«hunter2»%40h", "URL_PASSWORD"},
    {"mongodb://u:«9a/ss»@h/db", "URL_PASSWORD"},
    {"X-API-Key: «{32}»", "AUTH"},
    {"-H 'x-auth-token: «a1b2c3d4e5»'", "AUTH"},
    {"X-Amz-Security-Token: «{80}»", "AUTH"},
    {"X-API-Key: «sk-{48}»", "API_KEY"},
    {"Authorization:\tBearer\t«{24}»", "AUTH"},
    {"got Bearer\t«{24}»", "AUTH"},
    {"got Bearer \"«{24}»\"", "AUTH"},
    {"got Bearer%20«{24}»", "AUTH"},
    {"Authorization: Bearer «my-secret-token-1»", "AUTH"},
    {"bearer «550e8400-e29b-41d4-a716-446655440000»", "AUTH"},
};

static const char *const near_secrets[] = {
    "task-2026-01-15-abcdefghijklmnopqrst",
    "disk-9f3c1a7be042d85613fa9f3c",
    "sk-learn-extension-for-big-data-sets",
    "sk-short1",
    "the sk- prefix",
    "ghp_short is no key",
    "xghp_{36}",
    "nghp_{36}",
    "20ghp_{36}",
    "31mghp_{36}",
    "AKIASHORT",
    "xAKIAQ3XV7ZTLM2RBWNYC",
    "akiaq3xv7ztlm2rbwnyc",
    "hf_hub_download failed",
    "npm_config_registry is set",
    "npm_{35} is none",
    "msg.{22}.{43}",
    "xoxb-",
    "https://hooks.slack.com/services/ answered 404",
    "job_9f3c1a7be042_done",
    "obs_seq is 17",
    "obs_i_abc is an id",
    "aws_secret_access_key is not set",
    "aws_secret_access_key = short",
    "secret_access_key={39} is none",
    "{40}",
    "eyJ is how they begin",
    "cursor eyJvZmZzZXQiOjEyMzQ1fQ was refused",
    "Bearer token is missing",
    "Bearer authentication failed",
    "Authorization: Bearer <token>",
    "Authorization: required",
    "authorization failed for user 17",
    "authorization: none",
    "Basic auth is off",
    "basic checks passed: 17",
    "a PRIVATE KEY is needed",
    "expected -----BEGIN PRIVATE KEY----- but got something else",
    "expected -----BEGIN PRIVATE KEY-----\n  at /usr/local/lib/node/modules/crypto/sign/privatekey.js",
    "no -----BEGIN PRIVATE KEY----- in {64}",
    "see /usr/local/lib/node/modules/crypto/sign/privatekey\n> -----END PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIE{60}\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIE{60}\n-----END PUBLIC KEY-----",
    "https://h.example:8080/a@b",
    "ssh://git@github.com/a/b",
    "https://h.example/path:with@sign",
    "redis://:***@10.0.0.1",
    "postgres://app:${{DB_PASSWORD}}@db/main",
    "at 12:30://x",
    "https://user:%s@h.example",
    "https://user:$PW@h.example",
    "https://user:{pw}@h.example",
    "https://user:%PW%@h.example",
    "dsn=postgres%3A%2F%2Fu%3A%s%40h",
    "https%3A%2F%2Fh%3A8080%2Fa%40b",
    "?token=[redacted]&x=1",
    "?token=REDACTED",
    "?token={token}",
    "?password=<redacted>",
    "%3Fpage_token%3Dabcdefghijkl",
    "%3Ftoken%3Dabc",
    "bearer authentication-failed-1",
    "the authorization: policy-12345 applies",
    "x-api-key: is-missing-in-request-17",
    "X-API-Key header is missing",
    "?page_token=abcdefghijkl",
    "?nextPageToken=abcdefghijkl",
    "?sort_key=abcdefgh",
    "token=abcdefghijkl stands in no URL",
    "?pages=17&monkey=banana1",
    "&compass=north1",
    "3 of 3 filled",
    "upstream timed out: no answer from 10.0.3.7:8080 after 3000 ms",
};

static const char *const personal[][2] = {
    {"mail to «alice@example.com» bounced", "EMAIL"},
    {"«bob.smith+tag@mail.example.co.uk».", "EMAIL"},
    {"<«o'neil_7@x-y.example.org»>", "EMAIL"},
    {"user=«alice@example.com»,", "EMAIL"},
    {"«j\xc3\xb6rg@ex\xc3\xa4mple.de» is gone", "EMAIL"},
    {"/users?mail=«alice%40example.com»&x", "EMAIL"},
    {"mailto:«a@b.io»", "EMAIL"},
    {"line\\n«alice@example.com»\\n", "EMAIL"},
    {"\x1b[31m«alice@example.com»", "EMAIL"},
    {"q=%0A«alice@example.com»", "EMAIL"},
    {"line\\n«4111111111111111»", "CARD"},
    {"line\\t«+49 30 901820»", "PHONE"},
    {"line\\n«(415) 555-0100»", "PHONE"},
    {"card «4111111111111111» declined", "CARD"},
    {"card «4111 1111 1111 1111»", "CARD"},
    {"«5555-5555-5555-4444»,", "CARD"},
    {"amex «378282246310005».", "CARD"},
    {"«3782 822463 10005»", "CARD"},
    {"«6011111111111117»", "CARD"},
    {"«30569309025904»", "CARD"},
    {"«3530111333300000»", "CARD"},
    {"call «+49 30 901820» now", "PHONE"},
    {"«+1 (415) 555-0100»", "PHONE"},
    {"«+14155550100»", "PHONE"},
    {"tel:«+33.1.23.45.67.89»", "PHONE"},
    {"«+44 20 7946 0958».", "PHONE"},
    {"«(415) 555-0100» is busy", "PHONE"},
    {"«415-555-0100»", "PHONE"},
    {"«415.555.0100»", "PHONE"},
    {"phone: «4155550100»", "PHONE"},
    {"Tel. «030 901820 17»", "PHONE"},
    {"mobile «0171 1234567»", "PHONE"},
    {"fax «01 23 45 67 89»", "PHONE"},
};

static const char *const near_personal[] = {
    "root@localhost",
    "react@18.2.0",
    "icon@2x.png",
    "getty@tty1.service",
    "git@github.com:a/b.git",
    "@app.route",
    "a@-b.example",
    "0xdeadbeef@offset.text",
    "a @ b.example",
    "java.lang.Object@3f2a",
    "4111111111111112",
    "order 1234567890123452",
    "blk_4111111111111111",
    "4111111111111111abc",
    "id-4111111111111111",
    "1.4111111111111111",
    "1700000000000000",
    "1700000000000000000",
    "2026-01-15T09:30:00.125Z",
    "2026-01-15 09:30:00,125",
    "2026-01-15 09:30:00 +0100",
    "1700000000",
    "10.0.3.7:8080",
    "192.168.100.200",
    "port 5432, pid 41555, 4155550100 bytes",
    "123-456-7890",
    "415-155-0100",
    "555-0100",
    "v415.555.0100",
    "550e8400-e29b-41d4-a716-446655440000",
    "+1 200 300 400 lines",
    "@@ -1,5 +1,6 @@",
    "UTC+08:00",
    "+12345678 bytes",
    "1e+10",
    "0171 1234567",
    "took 415 555 ms",
    "(404) not found",
    "call 17 of 200",
    "tool call 4155550100 failed",
    "cell 0123456789 is empty",
    "telemetry 4155550100",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void test_secrets_are_found(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_SECRETS, NULL, 0), *all = open_with(OBS_REDACT_ALL, NULL, 0);
  for (size_t i = 0; i < COUNT(secrets); i++) assert_finds(r, secrets[i][0], secrets[i][1]);
  for (size_t i = 0; i < COUNT(near_secrets); i++) assert_leaves(r, near_secrets[i]);
  for (size_t i = 0; i < COUNT(near_secrets); i++) {
    if (strchr(near_secrets[i], '@') == NULL) assert_leaves(all, near_secrets[i]);
  }
  obs_redact_close(r);
  obs_redact_close(all);
}

static void test_personal_data_is_found_with_all(void **state) {
  (void)state;
  obs_redact *all = open_with(OBS_REDACT_ALL, NULL, 0), *r = open_with(OBS_REDACT_SECRETS, NULL, 0);
  for (size_t i = 0; i < COUNT(personal); i++) assert_finds(all, personal[i][0], personal[i][1]);
  for (size_t i = 0; i < COUNT(near_personal); i++) assert_leaves(all, near_personal[i]);
  assert_leaves(r, "mail to alice@example.com, card 4111111111111111, call +49 30 901820");
  obs_redact_close(all);
  obs_redact_close(r);
}

/* ---- tokens ---- */

static void test_a_secret_has_one_token(void **state) {
  (void)state;
  static const uint8_t other_key[OBS_REDACT_KEY_BYTES] = "another key of thirty-two bytes.";
  char error[256];
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0), *same = open_with(OBS_REDACT_ALL, NULL, 0), *other;
  assert_int_equal(obs_redact_open(OBS_REDACT_ALL, NULL, 0, other_key, &other, error, sizeof(error)), OBSERVER_E_OK);
  static const char text[] = "alice@example.com, bob@example.com, alice@example.com", one[] = "(alice@example.com)";
  char *first = redacted(r, text, sizeof(text) - 1), *again = redacted(same, one, sizeof(one) - 1),
       *foreign = redacted(other, one, sizeof(one) - 1);
  enum { TOKEN = 5 + OBS_REDACT_HEX + 3 };
  assert_memory_equal(first, "[EMAIL_", 7);
  assert_memory_equal(first, first + 2 * (TOKEN + 2), TOKEN); /* the first and the third */
  assert_memory_not_equal(first, first + TOKEN + 2, TOKEN);
  assert_memory_equal(first, again + 1, TOKEN);
  assert_memory_not_equal(again, foreign, strlen(again));
  free(first);
  free(again);
  free(foreign);
  obs_redact_close(r);
  obs_redact_close(same);
  obs_redact_close(other);
}

static void test_tokens_are_known(void **state) {
  (void)state;
  static const struct {
    const char *text;
    size_t len;
  } cases[] = {{"[EMAIL_7f3a9c0412de] and", 20},
               {"[URL_PASSWORD_7f3a9c0412de]", 27},
               {"[A_123456789012]", 16},
               {"[EMAIL_7f3a9c0412de", 0},
               {"[EMAIL_7f3a]", 0},
               {"[email_7f3a9c0412de]", 0},
               {"[EMAIL_7f3a9c0412dg]", 0},
               {"[_7f3a9c0412de]", 0},
               {"EMAIL_7f3a9c0412de]", 0},
               {"[EMAIL_7f3a9c0412de0]", 0},
               {"", 0},
               {"[", 0},
               {"[EMAIL_WORK_2_7f3a9c0412de]x", 27}};
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_int_equal(obs_redact_token(cases[i].text, strlen(cases[i].text)), cases[i].len);
}

static void test_counts_are_by_kind(void **state) {
  (void)state;
  static const char *const patterns[] = {"badge=B-\\d{4}"};
  static const char text[] = "a@b.example c@d.example B-1234";
  obs_redact *r = open_with(OBS_REDACT_ALL, patterns, 1), *off = open_with(OBS_REDACT_OFF, NULL, 0);
  obs_redact_count counts[OBS_REDACT_ALL_KINDS];
  uint64_t failures = 7;
  free(redacted(r, text, sizeof(text) - 1));
  size_t n = obs_redact_get_counts(r, counts, &failures);
  assert_int_equal(n, OBS_REDACT_KIND_COUNT + 1);
  for (size_t i = 0; i < n; i++) {
    uint64_t want = strcmp(counts[i].name, "EMAIL") == 0 ? 2 : strcmp(counts[i].name, "BADGE") == 0 ? 1 : 0;
    assert_int_equal(counts[i].count, want);
  }
  assert_int_equal(failures, 0);
  assert_null(off);
  assert_int_equal(obs_redact_get_counts(off, counts, &failures), 0);
  assert_false(obs_redact_hits(off, text, sizeof(text) - 1));
  obs_redact_close(r);
}

/* ---- messages ---- */

static void assert_message(obs_redact *r, obs_redact_format format, uint32_t max, const char *in, size_t n,
                           const char *want, size_t want_n) {
  obs_buf out = {0}, again = {0};
  assert_true(obs_buf_reserve(&out, 1));
  if (!obs_redact_message(r, format, in, n, max, &out)) obs_buf_append(&out, in, n);
  if (out.len != want_n || memcmp(out.p, want, want_n) != 0)
    fail_msg("%.*s\n  became %.*s\n  not    %.*s", (int)n, in, (int)out.len, out.p, (int)want_n, want);
  assert_false(obs_redact_message(r, format, out.p, out.len, max, &again));
  obs_buf_fini(&out);
  obs_buf_fini(&again);
}

/* The token of alice@example.com under the key of these tests. */
static char alice[5 + OBS_REDACT_HEX + 4];

/* In the wanted text a `@` stands for the token of alice@example.com. */
static void assert_json(obs_redact *r, uint32_t max, const char *in, const char *want) {
  obs_buf full = {0};
  assert_true(obs_buf_reserve(&full, 1));
  for (; *want != '\0'; want++) {
    if (*want == '@')
      obs_buf_puts(&full, alice);
    else
      obs_buf_putc(&full, *want);
  }
  assert_message(r, OBS_REDACT_JSON, max, in, strlen(in), full.p, full.len);
  obs_buf_fini(&full);
}

static void make_alice(obs_redact *r) {
  char *text = redacted(r, "alice@example.com", 17);
  assert_int_equal(strlen(text), sizeof(alice) - 1);
  memcpy(alice, text, sizeof(alice));
  free(text);
}

static void test_json_messages(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"{\"a\":\"alice@example.com\"}", "{\"a\":\"@\"}"},
      {"{\"alice@example.com\":{\"b\":[1,\"x alice@example.com\"]}}", "{\"@\":{\"b\":[1,\"x @\"]}}"},
      {"{\"a\":\"alice\\u0040example.com\"}", "{\"a\":\"@\"}"},
      {"{\"a\":\"\\u0061lice@example\\u002ecom\"}", "{\"a\":\"@\"}"},
      {"{\"a\":\"\\nalice@example.com\\t\\\"\\\\\\u00e9\\ud83d\\ude00\"}",
       "{\"a\":\"\\n@\\t\\\"\\\\\\u00e9\\ud83d\\ude00\"}"},
      {"{\"a\":\"{\\\"b\\\":\\\"alice\\\\u0040example.com\\\"}\"}", "{\"a\":\"{\\\"b\\\":\\\"@\\\"}\"}"},
      {"{\"a\":\"x\"} {\"b\":\"alice@example.com\"}\n{\"c\":\"alice@example.com\"}",
       "{\"a\":\"x\"} {\"b\":\"@\"}\n{\"c\":\"@\"}"},
      {"{\"body\":\"{\\\"out\\\":\\\"a\\\\nalice@example.com\\\\tb\\\"}\"}",
       "{\"body\":\"{\\\"out\\\":\\\"a\\\\n@\\\\tb\\\"}\"}"},
      {"{\"a\":\"\\u2014alice@example.com\\u2014\"}", "{\"a\":\"\\u2014@\\u2014\"}"},

      {"{\"a\":\"alice@example.com", "{\"a\":\"@"},
      {"{\"a\":alice@example.com}", "{\"a\":@}"},
      {"{a:\"x\" alice\\u0040example.com \"y\"", "{a:\"x\" @ \"y\""},
      {"nothing alice@example.com", "nothing @"},
      {"{\"n\":4111111111111111,\"m\":-1.5e3,\"t\":true,\"f\":false,\"z\":null}",
       "{\"n\":4111111111111111,\"m\":-1.5e3,\"t\":true,\"f\":false,\"z\":null}"},
      {"{\"a\":\"clean\"}", "{\"a\":\"clean\"}"},
      {"\"", "\""},
      {"", ""},
      {"\"alice@example.com\\", "\"@\\"},
  };
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0);
  make_alice(r);
  for (size_t i = 0; i < COUNT(cases); i++) assert_json(r, 0, cases[i][0], cases[i][1]);
  obs_redact_close(r);
}

/* What the name of a member says: credentials without a scheme, and keys that look like nothing. */
static void test_names_of_members(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_SECRETS, NULL, 0);
  static const char *const cases[][2] = {
      {"{\"Authorization\":\"{32}\"}", "AUTH"},
      {"{\"proxy-authorization\":\"Token {20}\"}", "AUTH"},
      {"[\"authorization\",\"{32}\"]", "AUTH"},
      {"{\"X-API-Key\":\"{32}\"}", "AUTH"},
      {"{\"x-auth-token\":\"a1b2c3d4e5\"}", "AUTH"},
      {"{\"a\":\"Bearer\\t{24}\"}", "AUTH"},
      {"{\"a\":\"Bearer \\\"{24}\\\"\"}", "AUTH"},
      {"{\"\\u0061uthorization\":\"{32}\"}", "AUTH"},
      {"{\"aws_secret_access_key\" : \"{40}\"}", "AWS_SECRET"},
      {"{\"secretAccessKey\":\"{38}\\/+\"}", "AWS_SECRET"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    obs_buf in = {0}, out = {0};
    char want[OBS_REDACT_NAME_MAX + 4];
    snprintf(want, sizeof(want), "[%s_", cases[i][1]);
    expand(cases[i][0], &in);
    if (!obs_redact_message(r, OBS_REDACT_JSON, in.p, in.len, 0, &out)) fail_msg("%s is left as it is", cases[i][0]);
    assert_non_null(memmem(out.p, out.len, want, strlen(want)));
    obs_buf_fini(&in);
    obs_buf_fini(&out);
  }
  static const char *const clean[] = {"{\"authorization\":\"required\"}", "{\"authorization\":true,\"x\":\"{32}\"}",
                                      "{\"secretAccessKey\":\"{39}\"}"};
  for (size_t i = 0; i < COUNT(clean); i++) {
    obs_buf in = {0}, out = {0};
    expand(clean[i], &in);
    assert_false(obs_redact_message(r, OBS_REDACT_JSON, in.p, in.len, 0, &out));
    obs_buf_fini(&in);
    obs_buf_fini(&out);
  }
  obs_redact_close(r);
}

/* A string that may be no longer does not become longer: the token is cut. */
static void test_a_string_stays_within_its_limit(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0);
  make_alice(r);
  obs_buf want = {0};
  obs_buf_printf(&want, "{\"a\":\"xxxx %.17s\"}", alice);
  static const char in[] = "{\"a\":\"xxxx alice@example.com\"}";
  assert_message(r, OBS_REDACT_JSON, 22, in, sizeof(in) - 1, want.p, want.len);
  obs_buf_fini(&want);
  obs_buf_printf(&want, "{\"a\":\"xxxx %s\"}", alice);
  assert_message(r, OBS_REDACT_JSON, 25, in, sizeof(in) - 1, want.p, want.len); /* it fits */
  assert_message(r, OBS_REDACT_JSON, 21, in, sizeof(in) - 1, want.p, want.len); /* it was too long before */
  obs_buf_fini(&want);
  static const char packed[] = "\xb6xxxx alice@example.com";
  obs_buf_printf(&want, "\xb6xxxx %.17s", alice);
  assert_message(r, OBS_REDACT_MSGPACK, 22, packed, sizeof(packed) - 1, want.p, want.len);
  obs_buf_fini(&want);
  obs_redact_close(r);
}

static void test_msgpack_messages(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0);
  make_alice(r);
  obs_buf want = {0};
  static const char map[] = "\x82\xa1"
                            "a\xb1"
                            "alice@example.com\xb1"
                            "alice@example.com\x93\x01\xc3\xc4\x11"
                            "alice@example.com";
  obs_buf_printf(&want,
                 "\x82\xa1"
                 "a\xb4%s\xb4%s\x93\x01\xc3\xc4\x14%s",
                 alice, alice, alice);
  assert_message(r, OBS_REDACT_MSGPACK, 0, map, sizeof(map) - 1, want.p, want.len);
  obs_buf_fini(&want);
  /* The length's byte is a letter, and so is what follows. */
  static const char sized[] = "\x81\xa1k\xd9\x61"
                              "ghp_aK3xQ9vTz7Lm2Rb8WnYc4JdPf6HsG5uEo1iV";
  char long_text[256];
  obs_buf in = {0}, out = {0};
  memset(long_text, ' ', sizeof(long_text));
  obs_buf_append(&in, sized, 5);
  obs_buf_append(&in, sized + 5, 40);
  obs_buf_append(&in, long_text, 0x61 - 40);
  obs_buf_putc(&in, 'z'); /* a number */
  assert_true(obs_redact_message(r, OBS_REDACT_MSGPACK, in.p, in.len, 0, &out));
  assert_int_equal((uint8_t)out.p[4], 0x61 - 40 + 22);
  assert_memory_equal(out.p + 5, "[API_KEY_", 9);
  obs_cursor c = obs_cursor_of(out.p, out.len);
  assert_true(obs_msgpack_cursor_skip(&c));
  assert_int_equal(obs_cursor_left(&c), 1);
  obs_buf_fini(&in);
  obs_buf_fini(&out);
  /* Cut off, broken, an ext. */
  static const char cut[] = "\x81\xa1"
                            "a\xda\x01\x00 alice@example.com";
  obs_buf_append(&want, cut, sizeof(cut) - 1);
  in = (obs_buf){0};
  obs_buf_append(&in, cut, sizeof(cut) - 1);
  memset(want.p + want.len - 17, '*', 17); /* it does not become whole by growing */
  assert_message(r, OBS_REDACT_MSGPACK, 0, in.p, in.len, want.p, want.len);
  obs_buf_fini(&in);
  obs_buf_fini(&want);
  static const char broken[] = "\x92\xc1 alice@example.com";
  obs_buf_puts(&want, "\x92\xc1 *****************");
  assert_message(r, OBS_REDACT_MSGPACK, 0, broken, sizeof(broken) - 1, want.p, want.len);
  obs_buf_fini(&want);
  static const char ext[] = "\x91\xc7\x11\x05"
                            "alice@example.com",
                    starred[] = "\x91\xc7\x11\x05"
                                "*****************";
  assert_message(r, OBS_REDACT_MSGPACK, 0, ext, sizeof(ext) - 1, starred, sizeof(starred) - 1);
  /* A name says what the next string is. */
  static const char named[] = "\x81\xad"
                              "authorization\xb0"
                              "aK3xQ9vTz7Lm2Rb8";
  assert_true(obs_redact_message(r, OBS_REDACT_MSGPACK, named, sizeof(named) - 1, 0, &out));
  assert_memory_equal(out.p + 15, "\xb3[AUTH_", 7);
  obs_buf_fini(&out);
  obs_redact_close(r);
}

static void test_bytes_of_any_kind(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0);
  make_alice(r);
  static const struct {
    const char *in;
    size_t n;
    bool opaque, changed;
  } cases[] = {{"alice@example.com", 17, false, true},
               {"op.alice@example.com\0{\"a\":\"alice@example.com\"}", 46, false, true},
               {"op.x\0{\"a\":\"alice\\u0040example.com\"}", 36, false, true},
               {"op.x\0\x81\xa1"
                "a\xb1"
                "alice@example.com",
                26, false, true},
               {"\xe2\x86\x92 alice@example.com", 21, false, true},
               {"\xef\xbb\xbf{\"a\":\"alice@example.com\"}", 28, false, true},
               {"op.x\0\xe2\x80\xa2 to alice@example.com", 29, false, true},
               {"\xe2\x86\x92 nobody", 10, false, false},
               {"clean", 5, false, false},
               {"{\"a\":0}\0\0\0\0a\0\0\0b", 16, false, false},
               {"op.x\0a\0l\0i\0c\0e\0@\0", 17, true, false},
               {"\0a\0\0\0l\0\0\0i\0\0\0c\0\0\0e\0\0\0@\0\0\0", 25, true, false},
               {"\0\0\0a\0\0\0l\0\0\0i\0\0\0c\0\0\0e\0\0\0@\0\0\0.", 28, true, false},
               {"\x1f\x8b\x08\x00 anything", 13, true, false},
               {"\xff\xfe{\0\"\0a\0", 8, true, false},
               {"{\0\"\0a\0l\0i\0c\0e\0@\0", 16, true, false},
               {"", 0, false, false}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    obs_buf out = {0};
    assert_int_equal(obs_redact_is_opaque(cases[i].in, cases[i].n), cases[i].opaque);
    if (cases[i].opaque) continue;
    assert_int_equal(obs_redact_bytes(r, cases[i].in, cases[i].n, &out), cases[i].changed);
    if (cases[i].changed) {
      assert_non_null(memmem(out.p, out.len, alice, strlen(alice)));
      assert_null(memmem(out.p, out.len, "alice", 5));
    } else {
      assert_int_equal(out.len, 0);
    }
    obs_buf_fini(&out);
  }
  obs_buf out = {0};
  assert_false(obs_redact_is_opaque(NULL, 0)); /* an empty body */
  assert_false(obs_redact_bytes(r, NULL, 0, &out));
  assert_false(obs_redact_message(r, OBS_REDACT_JSON, NULL, 0, 0, &out));
  assert_false(obs_redact_message(r, OBS_REDACT_MSGPACK, NULL, 0, 0, &out));
  assert_false(obs_redact_text(r, (obs_str){0}, &out));
  assert_null(out.p);
  obs_redact_close(r);
}

/* Text in any encoding, and messages that are broken where nobody knows what they were: stars where a token would take
 * the place of something else. */
static void test_bytes_that_begin_like_msgpack(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_SECRETS, NULL, 0);
  static const struct {
    const char *in, *secret;
    bool token;
  } cases[] = {
      {"\xe2\x86\x92 login failed with ghp_{36}", "ghp_", true},
      {"\xc3\xa9 Bearer {40}, again", "aK3xQ9", true},
      {"\xe2\x80\xa2 -----BEGIN PRIVATE KEY-----\nMIIE{60}\n{64}\n-----END PRIVATE KEY-----", "MIIE", true},
      {"\xe4\xb8\xad\xe6\x96\x87 postgres://app:s3cr3t@db/main", "s3cr3t", true},
      {"\xfc"
       "ber ghp_{36}",
       "ghp_", false},
      {"na\xefve: sk_live_{24}", "sk_live_", true},
      {"\x93quoted\x94 ghp_{36}", "ghp_", false},
      {"\xb5 123 567 901 ghp_{36}", "aK3xQ9", false}, /* a string of 21 bytes would end in the key */
      {"\xb5 123 567 901 ghp_{36}", "gHsG5u", false},
      {"A\xa5"
       "error\xd9"
       "aghp_{36}",
       "ghp_", false}, /* the rest of a message: a is the length of its string */
      {"\x82\xa5"
       "error\xd9"
       "aghp_{36}",
       "ghp_", false},
      {"\x81\xa5"
       "error\xd9\x28ghp_{36}",
       "ghp_", true}, /* whole */
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    obs_buf in = {0}, out = {0}, again = {0};
    expand(cases[i].in, &in);
    if (!obs_redact_bytes(r, in.p, in.len, &out)) fail_msg("case %zu is left as it is", i);
    if (memmem(out.p, out.len, cases[i].secret, strlen(cases[i].secret)) != NULL)
      fail_msg("case %zu: %.*s", i, (int)out.len, out.p);
    bool token = memmem(out.p, out.len, "[", 1) != NULL, stars = memmem(out.p, out.len, "****", 4) != NULL;
    if (token != cases[i].token || stars == token) fail_msg("case %zu: %.*s", i, (int)out.len, out.p);
    assert_false(obs_redact_bytes(r, out.p, out.len, &again));
    obs_buf_fini(&in);
    obs_buf_fini(&out);
  }
  obs_redact_close(r);
}

/* ---- patterns ---- */

static void test_patterns(void **state) {
  (void)state;
  static const char *const patterns[] = {"employee=\\bEMP-\\d{6}\\b", "Vin=[A-HJ-NPR-Z0-9]{17}", "TAIL=(?<=tail: ).+"};
  obs_redact *r = open_with(OBS_REDACT_SECRETS, patterns, 3);
  assert_finds(r, "who «EMP-123456»?", "EMPLOYEE");
  assert_finds(r, "car «1HGCM82633A004352».", "VIN");
  assert_finds(r, "tail: «all the rest»", "TAIL");
  assert_finds(r, "«ghp_{36}» of the built-in kinds", "API_KEY");
  assert_leaves(r, "EMP-12345, xEMP-123456");
  static const char both[] = "{\"a\":\"EMP-123456 \\u0045MP-123456\"}";
  obs_buf out = {0};
  assert_true(obs_redact_message(r, OBS_REDACT_JSON, both, sizeof(both) - 1, 0, &out));
  assert_null(memmem(out.p, out.len, "123456", 6));
  obs_buf_fini(&out);
  obs_redact_close(r);
  /* Alone: what has an escape is looked through as well. */
  r = open_with(OBS_REDACT_OFF, patterns, 1);
  assert_true(obs_redact_message(r, OBS_REDACT_JSON, both, sizeof(both) - 1, 0, &out));
  assert_null(memmem(out.p, out.len, "123456", 6));
  assert_leaves(r, "ghp_{36} alice@example.com");
  obs_buf_fini(&out);
  obs_redact_close(r);
}

/* Those that proto/redaction.md shows. */
static void test_patterns_for_named_passwords(void **state) {
  (void)state;
  static const char *const patterns[] = {"PASSWORD=assword\"?[=:] ?\"?\\K[^\\s\",;&}]+",
                                         "PGPASSWORD=PGPASSWORD=\\K\\S+"};
  obs_redact *r = open_with(OBS_REDACT_SECRETS, patterns, 2);
  assert_finds(r, "psql --password=«hunter2» -h db", "PASSWORD");
  assert_finds(r, "sent {\"user\":\"a\",\"password\":\"«hunter2»\"}", "PASSWORD");
  assert_finds(r, "Password: «hunter2»", "PASSWORD");
  assert_finds(r, "PGPASSWORD=«hunter2» psql", "PGPASSWORD");
  assert_leaves(r, "the password is wrong");
  obs_redact_close(r);
  r = open_with(OBS_REDACT_SECRETS, NULL, 0); /* they are no kind of ours */
  assert_leaves(r, "psql --password=hunter2; PGPASSWORD=hunter2; {\"password\":\"hunter2\"}");
  obs_redact_close(r);
}

static void test_patterns_that_are_wrong(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"nothing", "redact-pattern nothing: must be NAME=REGEX"},
      {"A=", "redact-pattern A=: must be NAME=REGEX"},
      {"=x", "redact-pattern : the name must have 1 to 32 characters"},
      {"a-b=x", "redact-pattern a-b: the name must be of letters, digits and _, and begin with a letter"},
      {"email=x", "redact-pattern email: the name is that of a built-in kind"},
      {"A=(x", "redact-pattern A: at character 3 of the expression: missing closing parenthesis"},
      {"A=ab[c", "redact-pattern A: at character 5 of the expression: missing terminating ] for character class"},
  };
  char error[256];
  obs_redact *r;
  for (size_t i = 0; i < COUNT(cases); i++) {
    assert_int_equal(obs_redact_open(OBS_REDACT_ALL, &cases[i][0], 1, key, &r, error, sizeof(error)),
                     OBSERVER_E_INVALID);
    assert_string_equal(error, cases[i][1]);
    assert_null(r);
  }
  static const char *const twice[] = {"A=x", "a=y"};
  assert_int_equal(obs_redact_open(OBS_REDACT_OFF, twice, 2, key, &r, error, sizeof(error)), OBSERVER_E_INVALID);
  assert_string_equal(error, "redact-pattern A: the name is given twice");
}

/* A pattern that takes too long takes the text with it, and the next text is looked at as before. */
static void test_a_pattern_that_explodes(void **state) {
  (void)state;
  static const char *const patterns[] = {"BOOM=^(a+)+$"};
  obs_redact *r = open_with(OBS_REDACT_OFF, patterns, 1);
  obs_redact_count counts[OBS_REDACT_ALL_KINDS];
  uint64_t failures;
  char text[64];
  memset(text, 'a', sizeof(text));
  text[sizeof(text) - 1] = 'b';
  char *got = redacted(r, text, sizeof(text));
  assert_int_equal(obs_redact_token(got, strlen(got)), strlen(got));
  free(got);
  assert_int_equal(obs_redact_get_counts(r, counts, &failures), 1);
  assert_int_equal(failures, 1);
  assert_leaves(r, "ab");
  obs_redact_close(r);
}

static void assert_literal(const char *spec, const char *want) {
  char error[256];
  obs_redact_pattern *p;
  assert_int_equal(obs_redact_pattern_open(spec, &p, error, sizeof(error)), OBSERVER_E_OK);
  const char *got = obs_redact_pattern_literal(p);
  if (want == NULL)
    assert_null(got);
  else
    assert_string_equal(got, want);
  obs_redact_pattern_close(p);
}

/* What every match must contain: too much would miss matches. */
static void test_literals_of_patterns(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"A=EMP-\\d{6}", "EMP-"},
      {"A=\\bcase-[0-9]+", "case-"},
      {"A=abc=\\K\\S+", "abc="},
      {"A=abc|def", NULL},
      {"A=(?i)abcdef", NULL},
      {"A=abcd?ef", "abc"},
      {"A=abcd*efgh", "efgh"},
      {"A=abcd{0,2}efg", "abc"},
      {"A=abc+def", "abc"},
      {"A=(abcdef)?x", NULL},
      {"A=(?:abc|d)efgh", "efgh"},
      {"A=[abc]def", "def"},
      {"A=\\Qabc\\E", NULL},
      {"A=a.b.c", NULL},
      {"A=x[^]]yz1", "yz1"},
      {"A=\\x41bcd", NULL},
      {"A=abc(?=def)", NULL},
      {"A=a\"bcd\"", "bcd"},
      {"A=[[:alpha:]]abc", NULL},
      {"A=ab\\.cde", "cde"},
      {"A=(a|b)cde", "cde"},
      {"A=abc\\/d", "abc"},
      {"A=\\d+", NULL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) assert_literal(cases[i][0], cases[i][1]);
}

/* ---- the prefilter ---- */

static uint32_t seed = 1; /* OBSERVER_SEED */

static uint32_t rnd(uint32_t below) {
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

/* Text of parts of what is looked for, and of bytes between. */
static void put_random(obs_buf *out, bool ascii) {
  static const char junk[] = " abcdefghij0123456789:/@.+-_=&?\"\\(){}[]%\n";
  static const char *const parts[] = {"\\n",         "\\\\t",       "\\x0a",   "%20",          "\x1b[31m", "sk-",
                                      "ghp_",        "://",         "@",       "+49",          "41111",    "eyJ",
                                      ".eyJ",        "Bearer ",     "&token=", "user:pw@",     "\\u0040",  "\\/",
                                      "PRIVATE KEY", "-----BEGIN ", "obs_i_",  "authorization"};
  for (uint32_t i = 0, n = rnd(12); i < n; i++) {
    switch (rnd(4)) {
    case 0:
      obs_buf_puts(out, parts[rnd(COUNT(parts))]);
      break;
    case 1:
      for (uint32_t k = rnd(40); k > 0; k--) obs_buf_putc(out, "aK3xQ9vTz7Lm2Rb8"[rnd(16)]);
      break;
    case 2: {
      const char *sample = rnd(3) > 0 ? secrets[rnd(COUNT(secrets))][0] : personal[rnd(COUNT(personal))][0];
      obs_buf marked = {0};
      expand(sample, &marked);
      for (size_t k = 0; k < marked.len; k++) { /* without the marks */
        if ((uint8_t)marked.p[k] == 0xc2 && k + 1 < marked.len) {
          k++;
          continue;
        }
        obs_buf_putc(out, marked.p[k]);
      }
      obs_buf_fini(&marked);
      break;
    }
    default:
      for (uint32_t k = rnd(8); k > 0; k--)
        obs_buf_putc(out, ascii || rnd(8) > 0 ? junk[rnd(sizeof(junk) - 1)] : (char)rnd(256));
    }
  }
}

static void test_all_ways_of_the_prefilter_find_the_same(void **state) {
  (void)state;
  size_t n = 0;
  obs_prefilter_literal literals[200];
  for (size_t i = 0; i < obs_redact_secret_count; i++, n++)
    literals[n] = (obs_prefilter_literal){obs_redact_secret_rows[i].literal, obs_redact_secret_rows[i].hook,
                                          obs_redact_secret_rows[i].fold};
  for (size_t i = 0; i < obs_redact_personal_count; i++, n++)
    literals[n] = (obs_prefilter_literal){obs_redact_personal_rows[i].literal, obs_redact_personal_rows[i].hook,
                                          obs_redact_personal_rows[i].fold};
  obs_prefilter *portable = obs_prefilter_open(literals, n, OBS_PREFILTER_PORTABLE);
  assert_non_null(portable);
  for (int way = OBS_PREFILTER_BEST; way <= OBS_PREFILTER_AVX2; way++) {
    obs_prefilter *f = obs_prefilter_open(literals, n, (obs_prefilter_way)way);
    if (f == NULL) continue; /* not on this machine */
    for (int round = 0; round < 3000; round++) {
      obs_buf text = {0};
      put_random(&text, false);
      size_t a = rnd((uint32_t)text.len + 1), b = a;
      do {
        a = obs_prefilter_next(portable, text.p, a, text.len);
        b = obs_prefilter_next(f, text.p, b, text.len);
        assert_int_equal(a, b);
        /* And every literal that stands there is told. */
        size_t i = 0, literal, at, told = 0, stand = 0;
        bool middle = a > 0 && a < text.len && text.p[a - 1] >= '0' && text.p[a - 1] <= '9'; /* of a number, perhaps */
        while (a < text.len && obs_prefilter_literal_at(f, text.p, text.len, 0, a, &i, &literal, &at))
          told += !(middle && literals[literal].text[0] == OBS_PREFILTER_DIGIT);
        for (size_t k = 0; a < text.len && k < n; k++) {
          size_t len = strlen(literals[k].text);
          if (middle && literals[k].text[0] == OBS_PREFILTER_DIGIT) continue; /* found where they begin */
          if (a < literals[k].hook || text.len - (a - literals[k].hook) < len) continue;
          const char *p = text.p + a - literals[k].hook;
          bool same = true;
          for (size_t c = 0; c < len; c++) {
            uint8_t want = (uint8_t)literals[k].text[c], have = (uint8_t)p[c];
            bool letter = (want | 0x20) >= 'a' && (want | 0x20) <= 'z';
            same = same && (want == OBS_PREFILTER_ANY || (want > OBS_PREFILTER_ANY && want == have) ||
                            (want == OBS_PREFILTER_DIGIT && have >= '0' && have <= '9') ||
                            (literals[k].fold && letter && (want ^ have) == 0x20));
          }
          stand += same;
        }
        assert_int_equal(told, stand);
        a++, b++;
      } while (a < text.len);
      obs_buf_fini(&text);
    }
    obs_prefilter_close(f);
  }
  obs_prefilter_close(portable);
}

/* Whether a text has a match when nothing is filtered: each row at each place. */
static bool has_match(obs_redact *r, const char *p, size_t n) {
  obs_redact_memo memo = {0};
  const obs_redact_scan s = {.p = p, .n = n, .memo = &memo};
  obs_redact_match m;
  for (size_t at = 0; at < n; at++) {
    for (size_t i = 0; i < r->nrows; i++) {
      const obs_prefilter_literal l = {r->rows[i]->literal, r->rows[i]->hook, r->rows[i]->fold};
      size_t len = strlen(l.text), k = 0;
      for (; k < len && at + k < n; k++) {
        uint8_t want = (uint8_t)l.text[k], have = (uint8_t)p[at + k];
        bool letter = (want | 0x20) >= 'a' && (want | 0x20) <= 'z';
        if (want != OBS_PREFILTER_ANY && (want < OBS_PREFILTER_ANY || want != have) &&
            !(want == OBS_PREFILTER_DIGIT && have >= '0' && have <= '9') &&
            !(l.fold && letter && (want ^ have) == 0x20))
          break;
      }
      if (k == len && r->rows[i]->find(&s, at, r->rows[i], &m)) return true;
    }
  }
  return false;
}

/* A message hits whenever one of its strings has a match, however it is written; and then none is left in it. */
static void test_no_match_escapes_the_prefilter(void **state) {
  (void)state;
  obs_redact *r = open_with(OBS_REDACT_ALL, NULL, 0);
  unsigned matches = 0;
  for (int round = 0; round < 6000; round++) {
    obs_buf text = {0}, message = {0}, out = {0};
    bool msgpack = rnd(2) == 0;
    put_random(&text, true);
    if (msgpack) {
      obs_buf_putc(&message, (char)0x92);
      for (int k = 0; k < 2; k++) { /* the length's bytes are anything */
        obs_buf_putc(&message, (char)(text.len < 256 ? 0xd9 : 0xda));
        if (text.len >= 256) obs_buf_putc(&message, (char)(text.len >> 8));
        obs_buf_putc(&message, (char)text.len);
        obs_buf_append(&message, text.p, text.len);
      }
    } else {
      obs_buf_puts(&message, "[\"");
      for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '\n')
          obs_buf_puts(&message, "\\n");
        else if (c == '"' || c == '\\' || (c == '/' && rnd(4) == 0))
          obs_buf_printf(&message, "\\%c", c);
        else if (rnd(60) == 0 && (uint8_t)c < 0x80)
          obs_buf_printf(&message, "\\u%04x", c);
        else
          obs_buf_putc(&message, c);
      }
      obs_buf_puts(&message, "\"]");
    }
    if (has_match(r, text.p, text.len)) {
      matches++;
      if (!obs_redact_hits(r, message.p, message.len))
        fail_msg("no hit: %.*s\n  of %.*s", (int)message.len, message.p, (int)text.len, text.p);
    }
    obs_redact_format format = msgpack ? OBS_REDACT_MSGPACK : OBS_REDACT_JSON;
    if (obs_redact_message(r, format, message.p, message.len, 0, &out)) {
      obs_buf again = {0};
      if (obs_redact_message(r, format, out.p, out.len, 0, &again))
        fail_msg("%.*s\n  then %.*s\n  then %.*s", (int)message.len, message.p, (int)out.len, out.p, (int)again.len,
                 again.p);
      obs_buf_fini(&again);
    }
    obs_buf_fini(&text);
    obs_buf_fini(&message);
    obs_buf_fini(&out);
  }
  assert_true(matches > 1000);
  obs_redact_close(r);
}

/* ---- the key ---- */

static void test_the_key_is_made_once(void **state) {
  (void)state;
  char dir[] = "/tmp/test_redact.XXXXXX", error[256];
  uint8_t first[OBS_REDACT_KEY_BYTES], second[OBS_REDACT_KEY_BYTES], none[OBS_REDACT_KEY_BYTES] = {0};
  struct stat st;
  bool made = false;
  assert_non_null(mkdtemp(dir));
  int fd = open(dir, O_RDONLY | O_DIRECTORY);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", first, &made, error, sizeof(error)), OBSERVER_E_OK);
  assert_true(made);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_OK);
  assert_false(made);
  assert_memory_equal(first, second, sizeof(first));
  assert_memory_not_equal(first, none, sizeof(first));
  assert_int_equal(fstatat(fd, "redact.key", &st, 0), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(fstatat(fd, "redact.key.new", &st, 0), -1);
  assert_int_equal(fchmodat(fd, "redact.key", 0640, 0), 0);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_string_equal(error, "redact.key: others can read it, must be 0600");
  assert_int_equal(fchmodat(fd, "redact.key", 0600, 0), 0);
  int file = openat(fd, "redact.key", O_WRONLY | O_TRUNC);
  assert_int_equal(close(file), 0);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_non_null(strstr(error, "redact.key: must have 32 bytes"));
  file = openat(fd, "redact.key", O_WRONLY | O_TRUNC);
  assert_int_equal(write(file, none, sizeof(none)), sizeof(none));
  assert_int_equal(close(file), 0);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_non_null(strstr(error, "redact.key: is all zero"));
  assert_int_equal(unlinkat(fd, "redact.key", 0), 0);
  assert_int_equal(mkfifoat(fd, "redact.key", 0600), 0); /* nobody writes to it: reading must not wait */
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_string_equal(error, "redact.key: is not a file");
  assert_int_equal(unlinkat(fd, "redact.key", 0), 0);
  assert_int_equal(mkdirat(fd, "redact.key", 0700), 0);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_string_equal(error, "redact.key: is not a file");
  assert_int_equal(unlinkat(fd, "redact.key", AT_REMOVEDIR), 0);
  assert_int_equal(symlinkat("elsewhere", fd, "redact.key"), 0);
  assert_int_equal(obs_redact_read_key(fd, "redact.key", second, &made, error, sizeof(error)), OBSERVER_E_IO);
  assert_int_equal(unlinkat(fd, "redact.key", 0), 0);
  close(fd);
  assert_int_equal(rmdir(dir), 0);
}

int main(void) {
  const char *given = getenv("OBSERVER_SEED");
  if (given != NULL) seed = (uint32_t)strtoul(given, NULL, 10);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_secrets_are_found),
      cmocka_unit_test(test_personal_data_is_found_with_all),
      cmocka_unit_test(test_a_secret_has_one_token),
      cmocka_unit_test(test_tokens_are_known),
      cmocka_unit_test(test_counts_are_by_kind),
      cmocka_unit_test(test_json_messages),
      cmocka_unit_test(test_names_of_members),
      cmocka_unit_test(test_a_string_stays_within_its_limit),
      cmocka_unit_test(test_msgpack_messages),
      cmocka_unit_test(test_bytes_of_any_kind),
      cmocka_unit_test(test_bytes_that_begin_like_msgpack),
      cmocka_unit_test(test_patterns),
      cmocka_unit_test(test_patterns_for_named_passwords),
      cmocka_unit_test(test_patterns_that_are_wrong),
      cmocka_unit_test(test_a_pattern_that_explodes),
      cmocka_unit_test(test_literals_of_patterns),
      cmocka_unit_test(test_all_ways_of_the_prefilter_find_the_same),
      cmocka_unit_test(test_no_match_escapes_the_prefilter),
      cmocka_unit_test(test_the_key_is_made_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
