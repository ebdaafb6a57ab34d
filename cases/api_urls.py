from django.urls import path

from cases import api

urlpatterns = [
    path("slides/<int:pk>/images/", api.SlideImages.as_view(), name="api_slide_images"),
    path("uploads/", api.UploadList.as_view(), name="api_uploads"),
    path("uploads/<uuid:pk>/", api.UploadDetail.as_view(), name="api_upload"),
    path("uploads/<uuid:pk>/close/", api.UploadClose.as_view(), name="api_upload_close"),
    path("uploads/<uuid:pk>/items/", api.UploadItems.as_view(), name="api_upload_items"),
    path("uploads/<uuid:pk>/items/<int:item_id>/", api.UploadItemBody.as_view(), name="api_upload_item"),
]
