"""Which images a slide has, remembered until they change."""

from __future__ import annotations

from django.db import transaction

from cases.models import Slide
from inference.models import SlideContents
from inference.selectors.images import images_sha256_by_slide


@transaction.atomic
def contents_remember(slide_id: int) -> None:
    """Remember what the slide has now, whatever a result was made from. No record: it says nothing new."""
    # The trigger that forgets takes the same lock: whoever is changing the images has ended, or waits for this to end.
    Slide._base_manager.select_for_update(no_key=True).get(pk=slide_id)
    now = images_sha256_by_slide([slide_id]).get(slide_id, "")
    SlideContents._base_manager.update_or_create(pk=slide_id, defaults={"images_sha256": now})
