/* mcp: agents ask the observer by themselves, over the Model Context Protocol. */
#include "observerctl/mcp/mcp.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"

#include <signal.h>
#include <stdint.h>
#include <sys/random.h>

static int run_mcp(const obs_args *args) {
  uint64_t mark;
  obs_mcp m = {.url = obs_args_text(args, "url"), .writes = obs_args_given(args, "allow-write"), .out = stdout};
  (void)signal(SIGPIPE, SIG_IGN); /* a client that has gone ends the output, which is reported as such */
  obs_args_reading(args, "requests of the Model Context Protocol");
  if (getrandom(&mark, sizeof(mark), 0) != (ssize_t)sizeof(mark)) {
    obs_args_error(args, "no random numbers");
    return OBS_COMMAND_FAILED;
  }
  obs_hex_format(mark, m.mark);
  return obs_mcp_serve(&m, stdin) ? OBS_COMMAND_OK : OBS_COMMAND_FAILED;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    {"allow-write", 0, NULL, .help = "serve the tools that record, too: report_outcome and add_correction"},
};

OBS_COMMAND(mcp) = {
    .name = "mcp",
    .summary = "let agents ask: a server of the Model Context Protocol on standard input and output",
    .description =
        "Serves the Model Context Protocol on standard input and output, one JSON-RPC message a line, until the input "
        "ends. An agent's host starts it. It speaks the versions 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26 and "
        "2024-11-05.\n\n"
        "Tools: get_advice, whats_wrong, list_clusters, get_cluster, query_ops, get_timeline, get_playbook, review. "
        "With --allow-write also report_outcome and add_correction. Resources: observer://op/SEQ, "
        "observer://cluster/ID, observer://playbook/ID. Prompts: triage and postmortem.\n\n"
        "Texts that were recorded stand between marks with a random number: whatever they say, they are data.",
    .examples = "observerctl mcp\n"
                "OBSERVER_KEY_FILE=~/.config/observer/key observerctl mcp --url https://observer:3800 --allow-write",
    .flags = OBS_TABLE(flags),
    .run = run_mcp,
};
