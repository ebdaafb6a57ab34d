from django.urls import path

from cases import api, api_dataset_files, api_datasets, api_sorting

urlpatterns = [
    path("curation/exclusions/", api_datasets.Exclusions.as_view(), name="api_exclusions"),
    path("curation/duplicates/", api_datasets.Duplicates.as_view(), name="api_duplicates"),
    path("datasets/", api_datasets.Datasets.as_view(), name="api_datasets"),
    path("datasets/freeze/", api_datasets.DatasetFreeze.as_view(), name="api_dataset_freeze"),
    path("datasets/import/", api_dataset_files.DatasetImport.as_view(), name="api_dataset_import"),
    path("datasets/<uuid:pk>/export/", api_dataset_files.DatasetExport.as_view(), name="api_dataset_export"),
    path("datasets/<uuid:pk>/", api_datasets.DatasetDetail.as_view(), name="api_dataset"),
    path("datasets/<uuid:pk>/images/", api_datasets.DatasetImages.as_view(), name="api_dataset_images"),
    path("slides/<int:pk>/images/", api.SlideImages.as_view(), name="api_slide_images"),
    path("sorting/tasks/", api_sorting.SortingTasks.as_view(), name="api_sorting_tasks"),
    path("sorting/tasks/<uuid:pk>/close/", api_sorting.SortingTaskClose.as_view(), name="api_sorting_close"),
    path("sorting/tasks/<uuid:pk>/agreement/", api_sorting.SortingAgreement.as_view(), name="api_sorting_agreement"),
    path("sorting/tasks/<uuid:pk>/consensus/", api_sorting.SortingConsensus.as_view(), name="api_sorting_consensus"),
    path("sorting/<uuid:pk>/queue/", api_sorting.SortingQueue.as_view(), name="api_sorting_queue"),
    path("sorting/<uuid:pk>/decisions/", api_sorting.SortingDecisions.as_view(), name="api_sorting_decisions"),
    path("sorting/<uuid:pk>/history/", api_sorting.SortingHistory.as_view(), name="api_sorting_history"),
    path("sorting/<uuid:pk>/place/", api_sorting.SortingPlace.as_view(), name="api_sorting_place"),
    path("uploads/", api.UploadList.as_view(), name="api_uploads"),
    path("uploads/<uuid:pk>/", api.UploadDetail.as_view(), name="api_upload"),
    path("uploads/<uuid:pk>/close/", api.UploadClose.as_view(), name="api_upload_close"),
    path("uploads/<uuid:pk>/items/", api.UploadItems.as_view(), name="api_upload_items"),
    path("uploads/<uuid:pk>/items/<int:item_id>/", api.UploadItemBody.as_view(), name="api_upload_item"),
]
