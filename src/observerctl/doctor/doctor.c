#include "observerctl/doctor/doctor.h"

#include "observerctl/ask/fetch.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"

#include <stdarg.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 3000, NAME_COLUMNS = 14 };

static const struct {
  const char *name;
  obs_term_look style;
} looks[] = {[OBS_FINDING_OK] = {"ok", OBS_STYLE_GREEN},
             [OBS_FINDING_WARN] = {"warn", OBS_STYLE_YELLOW},
             [OBS_FINDING_FAIL] = {"fail", OBS_STYLE_RED}};

void obs_doctor_say(obs_doctor *d, obs_doctor_finding finding, const char *check, const char *fix, const char *fmt,
                    ...) {
  char text[768];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof(text), fmt, ap);
  va_end(ap);
  cJSON *item = cJSON_CreateObject();
  cJSON_AddStringToObject(item, "check", check);
  cJSON_AddStringToObject(item, "status", looks[finding].name);
  cJSON_AddStringToObject(item, "text", text);
  if (finding != OBS_FINDING_OK && *fix != '\0')
    cJSON_AddStringToObject(item, "fix", fix);
  else
    cJSON_AddNullToObject(item, "fix");
  cJSON_AddItemToArray(d->findings, item);
  d->failed += finding == OBS_FINDING_FAIL;
  d->warned += finding == OBS_FINDING_WARN;
}

static void (*const probes[])(obs_doctor *d) = {
    obs_doctor_libraries, obs_doctor_nng,   obs_doctor_ports, obs_doctor_data_dir, obs_doctor_journal,
    obs_doctor_disk,      obs_doctor_files, obs_doctor_clock, obs_doctor_unit,     obs_doctor_daemon,
};

/* ---- report ---- */

static const char *text_of(const cJSON *finding, const char *name) {
  const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(finding, name));
  return text != NULL ? text : "";
}

static obs_term_look style_of(const char *status) {
  for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
    if (strcmp(looks[i].name, status) == 0) return looks[i].style;
  }
  return OBS_STYLE_PLAIN;
}

static bool put_finding(const cJSON *finding) {
  const char *status = text_of(finding, "status"), *check = text_of(finding, "check"), *fix = text_of(finding, "fix");
  const char *text = text_of(finding, "text");
  obs_buf line = {0};
  printf("%s%-4s%s  ", obs_term_style(stdout, style_of(status)), status, obs_term_style(stdout, OBS_STYLE_PLAIN));
  obs_text_pad(&line, check, strlen(check), NAME_COLUMNS);
  obs_buf_puts(&line, "  ");
  (void)obs_text_put(&line, text, strlen(text), OBS_TEXT_ALL);
  if (*fix != '\0') {
    obs_buf_printf(&line, "\n      %*s  fix: ", NAME_COLUMNS, "");
    (void)obs_text_put(&line, fix, strlen(fix), OBS_TEXT_ALL);
  }
  obs_buf_putc(&line, '\n');
  bool ok = !line.oom;
  if (ok) (void)fwrite(line.p, 1, line.len, stdout);
  obs_buf_fini(&line);
  return ok;
}

static bool report_text(const obs_doctor *d) {
  const cJSON *finding;
  bool ok = true;
  cJSON_ArrayForEach(finding, d->findings) ok = put_finding(finding) && ok;
  printf("\n%u failed, %u warnings\n", d->failed, d->warned);
  return ok;
}

static bool report_json(const obs_doctor *d) {
  cJSON *report = cJSON_CreateObject();
  cJSON_AddStringToObject(report, "status", d->failed > 0 ? "fail" : d->warned > 0 ? "warn" : "ok");
  cJSON_AddStringToObject(report, "version", OBSERVER_VERSION);
  cJSON_AddItemReferenceToObject(report, "checks", d->findings);
  char *text = cJSON_PrintUnformatted(report);
  if (text != NULL) puts(text);
  cJSON_free(text);
  cJSON_Delete(report);
  return text != NULL;
}

static bool ports_ok(const obs_args *args) {
  const char *list = obs_args_text(args, "ports");
  const char *p = list;
  do {
    char *end;
    unsigned long port = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || (*end != ',' && *end != '\0')) {
      obs_args_error(args, "--ports: \"%s\" is no list of ports, such as 3800,3801", list);
      return false;
    }
    p = end;
  } while (*p++ == ',');
  return true;
}

static int run(const obs_args *args) {
  if (!ports_ok(args)) return OBS_COMMAND_USAGE;
  obs_doctor d = {.args = args,
                  .url = obs_args_text(args, "url"),
                  .data_dir = obs_args_text(args, "data-dir"),
                  .url_given = obs_args_given(args, "url"),
                  .findings = cJSON_CreateArray()};
  char lock[4096];
  snprintf(lock, sizeof(lock), "%s/lock", d.data_dir);
  d.health = obs_fetch_json(d.url, "/v1/observer/health", TIMEOUT_MS, d.error, sizeof(d.error));
  (void)obs_owner_of_lock(lock, &d.lock_held, &d.lock_owner);
  for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) probes[i](&d);
  bool ok = obs_args_given(args, "json") ? report_json(&d) : report_text(&d);
  if (!ok) obs_args_error(args, "out of memory");
  cJSON_Delete(d.health);
  cJSON_Delete(d.findings);
  return ok && d.failed == 0 ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAG_URL,
    {"data-dir", 'd', "DIR", .initial = "data/_observer", .env = "OBSERVER_DATA_DIR",
     .help = "observerd's data directory"},
    {"ports", 'p', "LIST", .initial = "3800,3801,3802,3803,3804", .help = "TCP ports that observerd is to have"},
    OBS_FLAG_JSON,
};

OBS_COMMAND(doctor) = {
    .name = "doctor",
    .summary = "probe this machine and the daemon; say how to mend what is wrong",
    .description =
        "Probes the libraries and their versions, the ports, the data directory with its lock and journal, disk space, "
        "the open-file limit, the clock, the systemd unit and the daemon. Each finding is ok, warn or fail, with a "
        "sentence; what is not ok comes with the command that mends it. Nothing is modified.\n\n"
        "A daemon that does not answer is a failure when --url or OBSERVER_URL names it or the data directory is "
        "locked by one, else a warning: it may just not be started. Status 1 is that of any failure; warnings alone "
        "are status 0.",
    .examples = "observerctl doctor\n"
                "sudo observerctl doctor --data-dir /var/lib/observerd\n"
                "observerctl doctor --json | jq '.checks[] | select(.status != \"ok\")'",
    .flags = OBS_TABLE(flags),
    .run = run,
};
