"""Every command, described once. Parser, help, completion and the reference page follow from here."""

from whimbrel.cli import arguments as a
from whimbrel.cli.command import Argument, Command, Group, Resource

GLOBAL_FLAGS = (
    Argument(("--url",), "Address of the broker, as http://host:9110 (WHIMBREL_URL)."),
    Argument(("--auth-url",), "Address of the auth API alone (WHIMBREL_AUTH_URL)."),
    Argument(("--api-url",), "Address of the API alone (WHIMBREL_API_URL)."),
    Argument(("--stream-url",), "Address of the stream API alone (WHIMBREL_STREAM_URL)."),
    Argument(("--api-version",), "Version in the addresses, usually v1 (WHIMBREL_API_VERSION)."),
    Argument(
        ("--cacert",),
        "CA certificates to trust; `false` turns the check of certificates off (WHIMBREL_CACERT).",
    ),
    Argument(("--basic-auth",), "user:password for a proxy in front of the broker."),
    Argument(("--config-file",), "Configuration file to use (WHIMBREL_CONFIG_FILE)."),
    Argument(("--skip-config",), "Use no configuration file (WHIMBREL_CLI_SKIP_CONFIG).", "switch"),
    Argument(("--print-config",), "Print the configuration in use and exit with 3.", "switch"),
    Argument(("--debug",), "Show each request, as a curl line, and its answer.", "switch"),
    Argument(("--version",), "Print the version.", "switch"),
)

GROUPS = (
    Group("action", "What can be run: commands, scripts, workflows."),
    Group("apikey", "Keys with which programs log in."),
    Group("execution", "Runs of actions, past and present."),
    Group("key", "The datastore: values and secrets by name."),
    Group("pack", "Packs of actions, rules, workflows and sensors."),
    Group("plugin", "Runners and sensors of the broker."),
    Group("rule", "Which action answers which event."),
    Group("rule-enforcement", "When a rule matched, and what came of it."),
    Group("runner", "Kinds of actions and who runs them."),
    Group("trace", "What caused what."),
    Group("trigger", "Kinds of events."),
    Group("trigger-instance", "Events that happened."),
    Group("webhook", "Addresses under which rules take events."),
)


def _crud(
    group: str, resource: Resource, *filters: Argument, one: Argument = a.REF
) -> tuple[Command, Command]:
    """Return the list and get commands of a resource."""
    path = f"/api/v1/{resource.path}"
    listing = Command(
        (group, "list"),
        f"List {resource.plural}.",
        "whimbrel.cli.resources:show_list",
        (*a.LIST, *filters),
        f"GET {path}",
        resource,
    )
    getting = Command(
        (group, "get"),
        f"Show {resource.plural}.",
        "whimbrel.cli.resources:show",
        (*a.GET, one._replace(many="+")),
        f"GET {path}/{{{one.names[0]}}}",
        resource,
    )
    return (listing, getting)


def _changes(group: str, resource: Resource) -> tuple[Command, ...]:
    """Return the create, update and delete commands of a resource."""
    path = f"/api/v1/{resource.path}"
    singular = resource.title.lower()
    handlers = "whimbrel.cli.resources"
    return (
        Command(
            (group, "create"),
            f"Create a {singular} from a file.",
            f"{handlers}:create",
            (*a.SERVER, a.FILE),
            f"POST {path}",
            resource,
        ),
        Command(
            (group, "update"),
            f"Replace a {singular} with what a file says.",
            f"{handlers}:update",
            (*a.SERVER, a.REF, a.FILE),
            f"PUT {path}/{{id}}",
            resource,
        ),
        Command(
            (group, "delete"),
            f"Delete a {singular}.",
            f"{handlers}:delete",
            (*a.SERVER, a.REF),
            f"DELETE {path}/{{ref-or-id}}",
            resource,
        ),
    )


def _switches(group: str, resource: Resource, one: Argument = a.REF) -> tuple[Command, Command]:
    """Return the enable and disable commands of a resource."""
    endpoint = f"PUT /api/v1/{resource.path}/{{id}}"
    noun = resource.title if resource.title.startswith("API") else resource.title.lower()
    arguments = (*a.SERVER, one)
    enable = Command(
        (group, "enable"),
        f"Enable a {noun}." if noun[0] not in "aA" else f"Enable an {noun}.",
        "whimbrel.cli.resources:enable",
        arguments,
        endpoint,
        resource,
    )
    return (
        enable,
        enable._replace(
            path=(group, "disable"),
            help=enable.help.replace("Enable", "Disable"),
            handler="whimbrel.cli.resources:disable",
        ),
    )


HERE = (
    Command(
        ("up",),
        "Start a broker in the foreground.",
        "whimbrel.cli.up:up",
        (
            Argument(("--config",), "Configuration file (WHIMBREL_CONFIG)."),
            Argument(
                ("--st2-ports",),
                "Listen on StackStorm's ports 9100, 9101 and 9102 as well.",
                "switch",
            ),
        ),
        more="whimbrel.cli.up:arguments",
    ),
    Command(
        ("status",),
        "Show how the broker is doing.",
        "whimbrel.cli.status:status",
        a.SERVER,
        "GET /api/v1/status",
    ),
    Command(
        ("doctor",),
        "Check this machine: what a broker needs, and how to mend what is missing.",
        "whimbrel.cli.doctor:doctor",
        (Argument(("--config",), "Configuration file of the broker (WHIMBREL_CONFIG)."), *a.FORMAT),
        more="whimbrel.cli.up:arguments",
    ),
    Command(
        ("passwd",),
        "Give a user of this machine's broker a password.",
        "whimbrel.cli.passwd:passwd",
        (
            Argument(("--config",), "Configuration file of the broker (WHIMBREL_CONFIG)."),
            Argument(("--folder",), "Data folder of the broker (WHIMBREL_FOLDER)."),
            Argument(("--users-file",), "Users file of the broker (WHIMBREL_USERS_FILE)."),
            Argument(("username",), "User; added when there is none of the name."),
        ),
    ),
    Command(
        ("completion",),
        "Print the completion script of a shell.",
        "whimbrel.cli.completion:completion",
        (Argument(("shell",), "The shell.", choices=("bash", "zsh", "fish")),),
    ),
    Command(("version",), "Print the version.", "whimbrel.cli.entry:version"),
)

_PASSWORD = (
    Argument(("username",), "User to log in."),
    Argument(("-p", "--password"), "Password; asked for when it is not given."),
    Argument(("--password-stdin",), "Read the password from standard input.", "switch"),
    Argument(("-l", "--ttl"), "Life of the token in seconds.", "integer"),
)
ACCESS = (
    Command(
        ("login",),
        "Log in and keep the token for the commands to come.",
        "whimbrel.cli.access:login",
        (
            *_PASSWORD,
            Argument(("-w", "--write-password"), "Keep the password as well.", "switch"),
        ),
        "POST /auth/v1/tokens",
    ),
    Command(
        ("auth",),
        "Get a token and print it.",
        "whimbrel.cli.access:auth",
        (
            *_PASSWORD,
            Argument(("-t", "--only-token"), "Print the token alone.", "switch"),
            *a.FORMAT,
        ),
        "POST /auth/v1/tokens",
    ),
    Command(
        ("whoami",),
        "Show who is logged in.",
        "whimbrel.cli.access:whoami",
        a.SERVER,
        "GET /api/v1/user",
    ),
)
_API_KEY = Argument(("key-or-id",), "The key or its id.")
API_KEYS = (
    *_crud(
        "apikey",
        a.API_KEY,
        Argument(("-u", "--user"), "Only of this user.", query="user"),
        Argument(("-d", "--detail"), "Show all attributes.", "switch"),
        Argument(("--show-secrets",), "Show hashes as they are.", "switch", query="show_secrets"),
        one=_API_KEY,
    ),
    Command(
        ("apikey", "create"),
        "Make a key. It is shown this once.",
        "whimbrel.cli.apikeys:create",
        (
            *a.SERVER,
            Argument(("-u", "--user"), "User that the key logs in."),
            Argument(("-m", "--metadata"), "JSON object to remember it by."),
            Argument(("-k", "--only-key"), "Print the key alone.", "switch"),
        ),
        "POST /api/v1/apikeys",
        a.API_KEY,
    ),
    Command(
        ("apikey", "delete"),
        "Delete a key.",
        "whimbrel.cli.resources:delete",
        (*a.SERVER, _API_KEY),
        "DELETE /api/v1/apikeys/{key-or-id}",
        a.API_KEY,
    ),
    *_switches("apikey", a.API_KEY, _API_KEY),
    Command(
        ("apikey", "load"),
        "Take over keys, by their hashes, from a file.",
        "whimbrel.cli.apikeys:load",
        (*a.SERVER, a.WIDTH, a.FILE),
        "PUT /api/v1/apikeys/{id}",
        a.API_KEY,
    ),
)

RUN = Command(
    ("run",),
    "Run an action and show what came of it.",
    "whimbrel.cli.runs:run",
    a.RUN,
    "POST /api/v1/executions",
    a.EXECUTION,
    own_help=True,
)
ACTIONS = (
    *_crud("action", a.ACTION, a.PACK),
    *_changes("action", a.ACTION)[:2],
    Command(
        ("action", "delete"),
        "Delete an action.",
        "whimbrel.cli.resources:delete_action",
        (
            *a.SERVER,
            Argument(("-r", "--remove-files"), "Delete its files as well.", "switch"),
            a.REF,
        ),
        "DELETE /api/v1/actions/{ref-or-id}",
        a.ACTION,
    ),
    Command(
        ("action", "clone"),
        "Copy an action.",
        "whimbrel.cli.resources:clone_action",
        (
            *a.SERVER,
            Argument(("-f", "--force"), "Replace what is there.", "switch"),
            Argument(("source-ref-or-id",), "Action to copy."),
            Argument(("dest-pack-name",), "Pack of the copy."),
            Argument(("dest-action-name",), "Name of the copy."),
        ),
        "POST /api/v1/actions/{ref-or-id}/clone",
        a.ACTION,
    ),
    *_switches("action", a.ACTION),
    RUN._replace(
        path=("action", "execute"),
        help="Start an action and do not wait.",
        handler="whimbrel.cli.runs:execute",
    ),
)

_IDS = Argument(("ids",), "Ids of executions.", many="+")
_ID_OR_LAST = Argument(("id",), "Id of the execution, or `last`.", many="?")
EXECUTIONS = (
    Command(
        ("execution", "list"),
        "List executions, the newest at the end.",
        "whimbrel.cli.executions:show_list",
        (
            *a.LIST,
            a.LAST,
            Argument(
                ("-s", "--sort"), "Order of the selection.", default="desc", choices=("asc", "desc")
            ),
            Argument(("--action",), "Only of this action.", query="action"),
            Argument(("--status",), "Only in this status.", query="status"),
            Argument(("--user",), "Only of this user.", query="user"),
            Argument(
                ("--trigger_instance", "--trigger-instance"),
                "Only those that this event caused.",
                query="trigger_instance",
            ),
            Argument(a.AFTER, "Only those that started later.", query="timestamp_gt"),
            Argument(a.BEFORE, "Only those that started earlier.", query="timestamp_lt"),
            Argument(("-l", "--showall"), "The tasks of workflows as well.", "switch"),
        ),
        "GET /api/v1/executions",
        a.EXECUTION,
    ),
    Command(
        ("execution", "get"),
        "Show executions.",
        "whimbrel.cli.executions:get",
        (
            *a.SERVER,
            *a.DISPLAY,
            Argument(("-x", "--exclude-result"), "Leave out the result.", "switch"),
            Argument(("id",), "Id of an execution, or `last`.", many="+"),
        ),
        "GET /api/v1/executions/{id}",
        a.EXECUTION,
    ),
    Command(
        ("execution", "tail"),
        "Show the output of an execution while it runs.",
        "whimbrel.cli.tail:tail",
        (
            *a.SERVER,
            Argument(("--type",), "Only this stream.", choices=("stdout", "stderr")),
            Argument(("--include-metadata",), "Time and stream before each piece.", "switch"),
            _ID_OR_LAST,
        ),
        "GET /stream/v1/stream",
        a.EXECUTION,
    ),
    Command(
        ("execution", "cancel"),
        "Stop executions.",
        "whimbrel.cli.executions:cancel",
        (*a.SERVER, _IDS),
        "DELETE /api/v1/executions/{id}",
        a.EXECUTION,
    ),
    Command(
        ("execution", "re-run"),
        "Run an execution again, with other parameters where they are given.",
        "whimbrel.cli.runs:re_run",
        (
            *a.SERVER,
            *a.DISPLAY,
            *a.START,
            Argument(("--tasks",), "Only these tasks of the workflow.", many="+"),
            Argument(("--no-reset",), "Tasks that keep the items they have done.", many="+"),
            Argument(("id",), "Execution to run again."),
            Argument(("parameters",), "As for `run`.", many="*"),
        ),
        "POST /api/v1/executions/{id}/re_run",
        a.EXECUTION,
    ),
    *(
        Command(
            ("execution", verb),
            text,
            f"whimbrel.cli.executions:{verb}",
            (*a.SERVER, *a.DISPLAY, _IDS),
            "PUT /api/v1/executions/{id}",
            a.EXECUTION,
        )
        for verb, text in (
            ("pause", "Let workflows end their running tasks and start no other."),
            ("resume", "Let paused workflows go on."),
        )
    ),
)

_RULE_LIST, _RULE_GET = _crud(
    "rule",
    a.RULE,
    a.LAST,
    Argument(("--iftt",), "Show trigger and action.", "switch"),
    a.PACK,
    Argument(("-c", "--action"), "Only with this action.", query="action"),
    Argument(("-g", "--trigger"), "Only with this trigger.", query="trigger"),
    Argument(("--enabled",), "Only enabled ones.", "switch"),
    Argument(("--disabled",), "Only disabled ones.", "switch"),
)
RULES = (
    _RULE_LIST._replace(handler="whimbrel.cli.resources:show_rules"),
    _RULE_GET,
    *_changes("rule", a.RULE),
    *_switches("rule", a.RULE),
    *_crud(
        "rule-enforcement",
        a.RULE_ENFORCEMENT,
        a.LAST,
        Argument(("--trigger-instance",), "Only of this event.", query="trigger_instance"),
        Argument(("--execution",), "Only with this execution.", query="execution"),
        Argument(("--rule",), "Only of this rule.", query="rule_ref"),
        Argument(a.AFTER, "Only later ones.", query="enforced_at_gt"),
        Argument(a.BEFORE, "Only earlier ones.", query="enforced_at_lt"),
        one=Argument(("id",), "Id."),
    ),
)

TRIGGERS = (
    *_crud("trigger", a.TRIGGER_TYPE, a.PACK),
    *_changes("trigger", a.TRIGGER_TYPE),
    Command(
        ("trigger", "getspecs"),
        "List the triggers that rules have made of a kind.",
        "whimbrel.cli.triggers:specs",
        (*a.LIST, a.REF._replace(many="?")),
        "GET /api/v1/triggers",
        a.TRIGGER,
    ),
    *_crud(
        "trigger-instance",
        a.TRIGGER_INSTANCE,
        a.LAST,
        Argument(("--trigger",), "Only of this trigger.", query="trigger"),
        Argument(a.AFTER, "Only later ones.", query="timestamp_gt"),
        Argument(a.BEFORE, "Only earlier ones.", query="timestamp_lt"),
        Argument(("--status",), "Only in this status.", query="status"),
        one=Argument(("id",), "Id."),
    ),
    Command(
        ("trigger-instance", "re-emit"),
        "Let an event happen again.",
        "whimbrel.cli.triggers:re_emit",
        (*a.SERVER, Argument(("id",), "Id.")),
        "POST /api/v1/triggerinstances/{id}/re_emit",
        a.TRIGGER_INSTANCE,
    ),
    *_crud("webhook", a.WEBHOOK, a.PACK, one=Argument(("url",), "Name of the webhook.")),
)

_TRACE_FILTERS = (
    Argument(("-e", "--execution"), "Only with this execution.", query="execution"),
    Argument(("-r", "--rule"), "Only with this rule.", query="rule"),
    Argument(("-g", "--trigger-instance"), "Only with this event.", query="trigger_instance"),
)
TRACES = (
    Command(
        ("trace", "list"),
        "List traces; a single one is shown in full.",
        "whimbrel.cli.traces:show_list",
        (
            *a.LIST,
            a.LAST,
            Argument(
                ("-s", "--sort"), "Order of the selection.", default="desc", choices=("asc", "desc")
            ),
            Argument(("-c", "--trace-tag"), "Only with this tag.", query="trace_tag"),
            *_TRACE_FILTERS,
        ),
        "GET /api/v1/traces",
        a.TRACE,
    ),
    Command(
        ("trace", "get"),
        "Show traces.",
        "whimbrel.cli.traces:get",
        (
            *a.GET,
            *(filter_._replace(query="") for filter_ in _TRACE_FILTERS),
            Argument(("--show-executions",), "Only the executions.", "switch"),
            Argument(("--show-rules",), "Only the rules.", "switch"),
            Argument(("--show-trigger-instances",), "Only the events.", "switch"),
            Argument(("-n", "--hide-noop-triggers"), "Hide events without effect.", "switch"),
            Argument(("id",), "Id.", many="+"),
        ),
        "GET /api/v1/traces/{id}",
        a.TRACE,
    ),
)

_SCOPE = Argument(("-s", "--scope"), "`system` or `user`.", default="system", query="scope")
_DECRYPT = Argument(("-d", "--decrypt"), "Show secrets in clear text.", "switch", query="decrypt")
_KEY_NAME = Argument(("name",), "Name of the key.")
_KEY_LIST, _KEY_GET = _crud(
    "key",
    a.KEY,
    Argument(("--prefix",), "Only names that begin so.", query="prefix"),
    _DECRYPT,
    _SCOPE._replace(help="`system`, `user` or `all`.", default="all"),
    a.USER_SCOPE,
    a.LAST,
    one=_KEY_NAME,
)
KEYS = (
    _KEY_LIST,
    _KEY_GET._replace(arguments=(*_KEY_GET.arguments, _DECRYPT, _SCOPE, a.USER_SCOPE)),
    Command(
        ("key", "set"),
        "Store a value.",
        "whimbrel.cli.keys:set_value",
        (
            *a.SERVER,
            Argument(("-e", "--encrypt"), "It is a secret: encrypt it.", "switch"),
            Argument(("--encrypted",), "The value is encrypted already.", "switch"),
            Argument(("-l", "--ttl"), "Life in seconds.", "integer"),
            _SCOPE,
            a.USER_SCOPE,
            _KEY_NAME,
            Argument(("value",), "Value; `-` or nothing reads standard input.", many="?"),
        ),
        "PUT /api/v1/keys/{name}",
        a.KEY,
    ),
    Command(
        ("key", "delete"),
        "Delete a key.",
        "whimbrel.cli.resources:delete",
        (*a.SERVER, _SCOPE, a.USER_SCOPE, _KEY_NAME),
        "DELETE /api/v1/keys/{name}",
        a.KEY,
    ),
    Command(
        ("key", "load"),
        "Store the values of a file.",
        "whimbrel.cli.keys:load",
        (
            *a.SERVER,
            a.WIDTH,
            Argument(("-c", "--convert"), "Store what is no text as JSON.", "switch"),
            a.FILE,
        ),
        "PUT /api/v1/keys/{name}",
        a.KEY,
    ),
    Command(
        ("key", "delete_by_prefix"),
        "Delete all keys whose names begin so.",
        "whimbrel.cli.keys:delete_by_prefix",
        (*a.SERVER, Argument(("-p", "--prefix"), "Beginning of the names.", required=True)),
        "DELETE /api/v1/keys/{name}",
        a.KEY,
    ),
)

_RUNNER_NAME = Argument(("name-or-id",), "Name or id.")
REST = (
    *_crud("runner", a.RUNNER, one=_RUNNER_NAME),
    *_switches("runner", a.RUNNER, _RUNNER_NAME),
    *_crud("pack", a.PACKS, one=Argument(("ref",), "Name of the pack.")),
    Command(
        ("pack", "register"),
        "Read the content of packs from the disk again.",
        "whimbrel.cli.packs:register",
        (
            *a.SERVER,
            Argument(("--types",), "Only these kinds of content.", many="+"),
            Argument(("pack",), "Packs; all when none is named.", many="*"),
        ),
        "POST /api/v1/packs/register",
        a.PACKS,
    ),
    Command(
        ("plugin", "list"),
        "List the broker's plugins and their health.",
        "whimbrel.cli.status:plugins",
        a.LIST,
        "GET /api/v1/status",
    ),
)

COMMANDS: tuple[Command, ...] = (
    *HERE,
    RUN,
    *ACCESS,
    *API_KEYS,
    *ACTIONS,
    *EXECUTIONS,
    *RULES,
    *TRIGGERS,
    *TRACES,
    *KEYS,
    *REST,
)
