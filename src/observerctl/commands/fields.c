#include "observerctl/cli/commands.h"
#include "op/op.h"

#include <stdio.h>

static const char *const kinds[] = {
    [OBS_KIND_TIME] = "string, ISO 8601",     [OBS_KIND_TEXT] = "string", [OBS_KIND_BOOL] = "boolean",
    [OBS_KIND_DURATION] = "integer >= 0, ms", [OBS_KIND_INT] = "integer", [OBS_KIND_JSON] = "any",
};

static int run_fields(const obs_args *args) {
  (void)args;
  puts("| field | type | always in a row | meaning |\n|---|---|---|---|");
  for (size_t i = 0; i < OBS_F_COUNT; i++) {
    const obs_op_field_info *f = &obs_op_fields[i];
    printf("| %s | %s | %s | %s |\n", f->name, kinds[f->kind], f->required ? "yes" : "", f->rule);
  }
  return OBS_COMMAND_OK;
}

OBS_COMMAND(fields) = {
    .name = "fields",
    .summary = "print the fields of an op as a Markdown table",
    .run = run_fields,
};
