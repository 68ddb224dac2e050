"""Arguments that several commands share, and the resources that they show."""

from whimbrel.cli.command import Argument, Resource

TOKEN = (
    Argument(("-t", "--token"), "Token to use instead of the stored one."),
    Argument(("--api-key",), "API key to use instead of a token."),
)
FORMAT = (
    Argument(("-j", "--json"), "Print JSON.", "switch"),
    Argument(("-y", "--yaml"), "Print YAML.", "switch"),
)
SERVER = (*TOKEN, *FORMAT)
WIDTH = Argument(
    ("-w", "--width"),
    "Width of the columns: one number for all, or one for each.",
    "integer",
    many="+",
    metavar="COLUMNS",
)
LIST = (
    *SERVER,
    Argument(
        ("-a", "--attr"),
        "Attributes to show, dotted for inner ones; `all` for all.",
        many="+",
        metavar="NAME",
    ),
    WIDTH,
)
GET = (*SERVER, LIST[-2])
LAST = Argument(
    ("-n", "--last"), "How many to list; -1 for all.", "integer", default=50, query="limit"
)
PACK = Argument(("-p", "--pack"), "Only of this pack.", query="pack")
AFTER = ("-tg", "--timestamp-gt")
BEFORE = ("-tl", "--timestamp-lt")
FILE = Argument(("file",), "JSON or YAML file.")
REF = Argument(("ref-or-id",), "Reference (pack.name) or id.")
REFS = REF._replace(many="+")
USER_SCOPE = Argument(
    ("-u", "--user"), "User whose key is meant (for administrators).", query="user"
)

DISPLAY = (
    Argument(("--raw",), "Leave out the tasks of a workflow.", "switch"),
    Argument(("--show-tasks",), "Show the tasks; an error for what is no workflow.", "switch"),
    Argument(("--depth",), "How deep to show tasks; -1 for all.", "integer", default=-1),
    WIDTH,
    Argument(("--attr",), "Attributes to show; `all` for all.", many="+", metavar="NAME"),
    Argument(("-d", "--detail"), "Show a property table.", "switch"),
    Argument(("-k", "--key"), "Show this key of the result alone."),
)
START = (
    Argument(("--delay",), "Start after this many milliseconds.", "integer", metavar="MS"),
    Argument(("--tail",), "Show the output while it runs.", "switch"),
    Argument(("--auto-dict",), "Take a list of `a:b` items as one object.", "switch"),
    Argument(("-a", "--async"), "Start it and do not wait.", "switch"),
    Argument(("-e", "--inherit-env"), "Send this environment as parameter `env`.", "switch"),
)
RUN = (
    *SERVER,
    *DISPLAY,
    *START,
    Argument(("--trace-tag", "--trace_tag"), "Tag of the trace that it belongs to."),
    Argument(("--trace-id",), "Id of the trace that it belongs to."),
    Argument(("-u", "--user"), "User to run as (for administrators)."),
    Argument(("-h", "--help"), "Show this, or the parameters of the action.", "switch"),
    Argument(("ref-or-id",), "Action to run.", many="?"),
    Argument(
        ("parameters",),
        "name=value, @name=file; the first word without `=` and all after it are the parameter cmd.",
        many="*",
    ),
)

ACTION = Resource(
    "actions",
    "Action",
    "actions",
    ("ref", "pack", "description"),
    (
        *("id", "uid", "ref", "pack", "name", "description", "enabled", "entry_point"),
        *("runner_type", "parameters", "all"),
    ),
    trimmed=True,
)
EXECUTION = Resource(
    "executions",
    "Action Execution",
    "action executions",
    ("id", "action.ref", "context.user", "status", "start_timestamp", "end_timestamp"),
    trimmed=True,
    newest_first=True,
)
RULE = Resource(
    "rules",
    "Rule",
    "rules",
    ("ref", "pack", "description", "enabled"),
    ("id", "uid", "ref", "pack", "name", "description", "enabled", "all"),
    trimmed=True,
)
TRIGGER_TYPE = Resource(
    "triggertypes",
    "Trigger",
    "triggers",
    ("ref", "pack", "description"),
    ("id", "ref", "pack", "name", "description", "parameters_schema", "payload_schema"),
    trimmed=True,
)
TRIGGER = Resource("triggers", "Trigger", "triggers", ("ref", "type", "parameters"))
TRIGGER_INSTANCE = Resource(
    "triggerinstances",
    "Trigger Instance",
    "trigger instances",
    ("id", "trigger", "occurrence_time", "status"),
    ("id", "trigger", "occurrence_time", "payload", "status"),
    trimmed=True,
    newest_first=True,
)
RULE_ENFORCEMENT = Resource(
    "ruleenforcements",
    "Rule Enforcement",
    "rule enforcements",
    ("id", "rule.ref", "trigger_instance_id", "execution_id", "enforced_at"),
    ("id", "rule.ref", "trigger_instance_id", "execution_id", "failure_reason", "enforced_at"),
)
TRACE = Resource("traces", "Trace", "traces", ("id", "uid", "trace_tag", "start_timestamp"))
WEBHOOK = Resource("webhooks", "Webhook", "webhooks", ("url", "type", "description"))
KEY = Resource(
    "keys",
    "Key Value Pair",
    "key value pairs",
    ("name", "value", "secret", "encrypted", "scope", "user", "expire_timestamp"),
    ("name", "value", "secret", "encrypted", "scope", "expire_timestamp"),
)
API_KEY = Resource("apikeys", "API Key", "API keys", ("id", "user", "metadata"))
RUNNER = Resource("runnertypes", "Runner", "runners", ("id", "name", "description"), trimmed=True)
PACKS = Resource(
    "packs",
    "Pack",
    "packs",
    ("ref", "name", "description", "version", "author"),
    ("name", "version", "author", "email", "keywords", "description"),
    trimmed=True,
)
