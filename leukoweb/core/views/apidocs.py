"""The OpenAPI description and its page, for staff only."""

from __future__ import annotations

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from leukoweb.core.permissions import requires


class SchemaView(SpectacularAPIView):
    required_action = "api.docs"


class DocsView(SpectacularSwaggerSplitView):
    required_action = "api.docs"
    url_name = "api_schema"
    renderer_classes = SpectacularSwaggerSplitView.renderer_classes


schema = requires("api.docs")(SchemaView.as_view())
docs = requires("api.docs")(DocsView.as_view())
