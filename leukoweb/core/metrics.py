"""Numbers for a monitoring system, in the text format that Prometheus reads. No identity is in any of them."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from leukoweb.core.health import BAD, WARN, disk, findings
from leukoweb.core.jobs.registry import QUEUES
from leukoweb.core.models import AuditEvent, Job


class LedgerCollector(Collector):
    """Asked at each scrape, so that every web process tells the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("leukoweb_jobs", "Jobs by queue and status.", labels=["queue", "status"])
        oldest = GaugeMetricFamily("leukoweb_oldest_waiting_s", "Age of the oldest waiting job.", labels=["queue"])
        ages = dict.fromkeys(QUEUES, 0.0)
        rows = Job.objects.order_by().values("queue", "status").annotate(n=Count("pk"), since=Min("created_at"))
        for row in rows:
            jobs.add_metric([row["queue"], row["status"]], row["n"])
            if row["status"] == Job.Status.QUEUED:
                ages[row["queue"]] = (timezone.now() - row["since"]).total_seconds()
        for queue, age in ages.items():
            oldest.add_metric([queue], age)
        yield jobs
        yield oldest
        yield GaugeMetricFamily("leukoweb_disk_free_bytes", "Free space of DATA_DIR.", value=disk().free)
        last = AuditEvent.objects.filter(action="backup.take").order_by("-id").values_list("at", flat=True).first()
        if last is not None:
            age = (timezone.now() - last).total_seconds()
            yield GaugeMetricFamily("leukoweb_backup_age_s", "Seconds since the last backup.", value=age)
        state = GaugeMetricFamily("leukoweb_health", "0 good, 1 look, 2 act.", labels=["what"])
        for finding in findings():
            state.add_metric([finding.what], {WARN: 1, BAD: 2}.get(finding.state, 0))
        yield state


def metrics_text() -> bytes:
    registry = CollectorRegistry()
    registry.register(LedgerCollector())
    return generate_latest(registry)
