"""The lists of Image repository management: registries, and the records of their syncs."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Case, Count, F, IntegerField, OuterRef, Prefetch, Subquery, Value, When
from django.db.models.functions import Coalesce, Lower, Mod
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.i18n.messages import translate_message
from console.jobs.models import State
from console.listing import Column, Listing, Needs
from registries.models import Registry, SyncRun
from registries.pull_limit import usage_columns, usage_of_row
from registries.sync_requests.nightly import SPREAD_STEP_SECONDS, WINDOW_SECONDS, next_sync
from registries.tables.filters import RESULT_LABELS, RegistryFilters, SyncFilters, result_condition

CONNECTION_ORDER = ("refused", "failed", "unknown", "connected")  # what wants a person first
RESULT_ORDER = ("failed", "partial", "cancelled", "complete")
STANDARD_GROUP, SYNC_GROUP = gettext_lazy("Standard"), gettext_lazy("Sync")

# Of the row itself, which is visible: made once, when nobody has asked yet.
_image_counts = (
    Registry._base_manager.filter(pk=OuterRef("pk")).annotate(number=Count("repository_set__tags")).values("number")
)
IMAGE_COUNT = Coalesce(Subquery(_image_counts, output_field=IntegerField()), 0)
_RUN_FIELDS = (
    *("state", "stage", "progress_done", "progress_total", "started_at", "ended_at", "cancel_requested_at"),
    *("reason", "remedy", "repositories", "tags", "tags_new", "tags_gone", "tags_missing"),
    *("errors", "complete", "registry_id"),
)


def _active_runs() -> Prefetch[str]:
    active = SyncRun.objects.filter(state__in=State.active()).only(*_RUN_FIELDS)
    return Prefetch("sync_runs", active, to_attr="active_runs")


SYNC_NEEDS = Needs(fields=tuple(f"last_sync__{name}" for name in _RUN_FIELDS), prefetch=(_active_runs,))


def result_of(run: SyncRun | None) -> str:
    """Return how a sync ended in a word, or where it stands; "Never" where there is none."""
    if run is None:
        return _("Never")
    if run.state in State.active():
        return str(run.get_state_display())
    name = "complete" if run.complete and not run.errors else "partial"
    return str(RESULT_LABELS[name if run.state == "succeeded" else str(run.state)])


def last_sync_result(row: Registry) -> str:
    """Return where the last sync of ``row`` stands, in words."""
    active: list[SyncRun] = getattr(row, "active_runs", [])
    return result_of(active[0] if active else row.last_sync)


def limit_used(row: Registry) -> str:
    """Return how much of the limit is used in this hour, in words."""
    usage = usage_of_row(row)
    if usage.limit is None:
        return _("Unlimited")
    return _("%(used)s of %(limit)s") % {"used": f"{usage.used:,}", "limit": f"{usage.limit:,}"}


def _number(name: str, label: str | object, *, default: bool = True, slot: str = "") -> Column[SyncRun]:
    return Column(
        name=name,
        label=label,  # type: ignore[arg-type]
        value=lambda run: getattr(run, name),
        sort=(name,),
        needs=Needs(fields=(name,)),
        template="console/listing/number.html",
        default=default,
        descending_first=True,
        css="num",
        slot=slot,
    )


def _seconds(run: SyncRun) -> int | None:
    return round((run.ended_at - run.started_at).total_seconds()) if run.ended_at and run.started_at else None


def _ended(row: Registry) -> datetime | None:
    return row.last_sync.ended_at if row.last_sync else None


REGISTRIES = Listing[Registry](
    name="registries",
    title=gettext_lazy("Image repository management"),
    noun=gettext_lazy("registries"),
    singular=gettext_lazy("registry"),
    queryset=lambda: Registry.objects.present(),
    filterset=RegistryFilters,
    default_sort="name",
    columns=(
        Column(
            name="name",
            label=gettext_lazy("Instance name"),
            value=lambda row: row.name,
            sort=(Lower("name"),),
            needs=Needs(fields=("name", "address")),
            template="registries/cells/name.html",
            locked=True,
            css="grow pin",
            slot="addr",
        ),
        Column(
            name="type",
            label=gettext_lazy("Repository type"),
            value=lambda row: row.get_type_display(),
            sort=("type", "version", Lower("name")),
            needs=Needs(fields=("type", "version", "region")),
            template="registries/cells/type.html",
            slot="type",
            group=STANDARD_GROUP,
        ),
        Column(
            name="version",
            label=gettext_lazy("Version"),
            value=lambda row: row.get_version_display() if row.version else None,
            sort=("version", Lower("name")),
            needs=Needs(fields=("version",)),
            default=False,
            group=STANDARD_GROUP,
        ),
        Column(
            name="address",
            label=gettext_lazy("Address"),
            value=lambda row: row.address,
            sort=("address",),
            needs=Needs(fields=("address",)),
            default=False,
            group=STANDARD_GROUP,
        ),
        Column(
            name="region",
            label=gettext_lazy("Region"),
            value=lambda row: row.region or _("Default region"),
            sort=("region", Lower("name")),
            needs=Needs(fields=("region",)),
            default=False,
            group=STANDARD_GROUP,
        ),
        Column(
            name="network",
            label=gettext_lazy("Network type"),
            value=lambda row: row.get_network_display(),
            sort=("network", Lower("name")),
            needs=Needs(fields=("network",)),
            default=False,
            group=STANDARD_GROUP,
        ),
        Column(
            name="images",
            label=gettext_lazy("Tags"),
            value=lambda row: getattr(row, "images", None),
            sort=("images",),
            needs=Needs(annotate={"images": IMAGE_COUNT}),
            template="registries/cells/images.html",
            descending_first=True,
            css="num",
            slot="fact",
            group=STANDARD_GROUP,
        ),
        Column(
            name="connection",
            label=gettext_lazy("Connection status"),
            value=lambda row: row.get_connection_display(),
            sort=(
                Case(*(When(connection=state, then=Value(rank)) for rank, state in enumerate(CONNECTION_ORDER))),
                Lower("name"),
            ),
            needs=Needs(
                fields=(
                    *("connection", "connection_reason", "connection_remedy", "connection_checked_at"),
                    "slow_until",
                ),
            ),
            template="registries/cells/connection.html",
            slot="connection",
            group=STANDARD_GROUP,
        ),
        Column(
            name="slow",
            label=gettext_lazy("Slow until"),
            value=lambda row: row.slow_until if row.slow_since else None,
            sort=("slow_until",),
            needs=Needs(fields=("slow_until",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
            group=STANDARD_GROUP,
        ),
        Column(
            name="last_sync",
            label=gettext_lazy("Last sync"),
            value=_ended,
            sort=("last_sync__ended_at",),
            needs=SYNC_NEEDS,
            template="registries/cells/sync.html",
            descending_first=True,
            slot="fact",
            group=SYNC_GROUP,
        ),
        Column(
            name="result",
            label=gettext_lazy("Last result"),
            value=last_sync_result,
            sort=(
                Case(
                    *(
                        When(result_condition(name, "last_sync__"), then=Value(rank))
                        for rank, name in enumerate(RESULT_ORDER)
                    ),
                    default=Value(len(RESULT_ORDER)),
                ),
                Lower("name"),
            ),
            needs=SYNC_NEEDS,
            default=False,
            group=SYNC_GROUP,
        ),
        Column(
            name="next_sync",
            label=gettext_lazy("Next sync"),
            value=next_sync,
            sort=(Mod(F("pk") * SPREAD_STEP_SECONDS, Value(WINDOW_SECONDS)),),
            needs=Needs(fields=("nightly_on",)),
            template="registries/cells/next_sync.html",
            group=SYNC_GROUP,
        ),
        Column(
            name="limit",
            label=gettext_lazy("Limit used this hour"),
            value=limit_used,
            sort=("limit", Lower("name")),
            needs=Needs(fields=("limit",), annotate=usage_columns),
            template="registries/cells/limit.html",
            slot="fact",
            group=STANDARD_GROUP,
        ),
        Column(
            name="created",
            label=gettext_lazy("Added"),
            value=lambda row: row.created_at,
            sort=("created_at",),
            needs=Needs(fields=("created_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
            group=STANDARD_GROUP,
        ),
    ),
    needs=Needs(fields=("name",), prefetch=SYNC_NEEDS.prefetch),
    actions="registries/cells/actions.html",
    bulk="registries/_bulk.html",
    tools="registries/_tools.html",
    above="registries/_above.html",
    empty="registries/_no_registries.html",
    columns_view="registries:registry-columns",
)

SYNCS = Listing[SyncRun](
    name="syncs",
    title=gettext_lazy("Sync records"),
    noun=gettext_lazy("sync records"),
    singular=gettext_lazy("sync record"),
    queryset=lambda: SyncRun.objects.filter(registry__deleting_at__isnull=True),
    filterset=SyncFilters,
    default_sort="-created",
    columns=(
        Column(
            name="registry",
            label=gettext_lazy("Registry"),
            value=lambda run: run.registry.name,
            sort=("registry__name", "created_at"),
            needs=Needs(fields=("registry__name",)),
            template="registries/cells/sync_run_registry.html",
            locked=True,
            css="pin",
            slot="addr",
        ),
        Column(
            name="state",
            label=gettext_lazy("Result"),
            value=result_of,
            sort=(
                Case(
                    *(When(result_condition(name), then=Value(rank)) for rank, name in enumerate(RESULT_ORDER)),
                    default=Value(len(RESULT_ORDER)),
                ),
                "created_at",
            ),
            needs=Needs(fields=("state", "complete", "errors", "reason", "remedy")),
            template="registries/cells/sync_run_state.html",
            slot="status",
        ),
        Column(
            name="created",
            label=gettext_lazy("Requested"),
            value=lambda run: run.created_at,
            sort=("created_at",),
            needs=Needs(fields=("created_at",)),
            template="console/listing/time.html",
            descending_first=True,
            slot="ver",
        ),
        Column(
            name="started",
            label=gettext_lazy("Started"),
            value=lambda run: run.started_at,
            sort=("started_at",),
            needs=Needs(fields=("started_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
        ),
        Column(
            name="ended",
            label=gettext_lazy("Ended"),
            value=lambda run: run.ended_at,
            sort=("ended_at",),
            needs=Needs(fields=("ended_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
        ),
        Column(
            name="took",
            label=gettext_lazy("Duration, seconds"),
            value=_seconds,
            sort=(F("ended_at") - F("started_at"),),
            needs=Needs(fields=("started_at", "ended_at")),
            template="console/listing/number.html",
            descending_first=True,
            css="num",
        ),
        Column(
            name="trigger",
            label=gettext_lazy("Started by"),
            value=lambda run: run.requested_by.get_username() if run.requested_by else run.get_trigger_display(),
            sort=("trigger", "requested_by__username"),
            needs=Needs(fields=("trigger", "requested_by__username")),
        ),
        _number("repositories", gettext_lazy("Repositories")),
        _number("tags", gettext_lazy("Tags"), slot="fact"),
        _number("tags_new", gettext_lazy("New"), slot="fact"),
        _number("tags_changed", gettext_lazy("Changed")),
        _number("tags_gone", gettext_lazy("Removed"), slot="fact"),
        _number("tags_missing", gettext_lazy("Missing"), default=False),
        _number("not_images", gettext_lazy("Not images"), default=False),
        _number("errors", gettext_lazy("Unreadable"), default=False),
        Column(
            name="reason",
            label=gettext_lazy("Reason"),
            value=lambda run: translate_message(run.reason),
            needs=Needs(fields=("reason",)),
            default=False,
        ),
        Column(
            name="remedy",
            label=gettext_lazy("Remedy"),
            value=lambda run: translate_message(run.remedy),
            needs=Needs(fields=("remedy",)),
            default=False,
        ),
    ),
    needs=Needs(fields=("state", "reason", "remedy", "registry__name")),
    detail="registries/cells/sync_run_reason_row.html",
    bulk="registries/_sync_bulk.html",
    tools="registries/_sync_tools.html",
    empty="registries/_no_syncs.html",
    columns_view="registries:sync-columns",
)
