"""The evaluation methods by name; without torch, so that a command line can list them at once."""

METHODS = ("linear", "knn", "retrieval", "lowshot", "attentive", "finetune")
CONFUSED = (
    "linear",
    "knn",
    "attentive",
    "finetune",
)  # those whose rows say what was taken for what
# On pixels, against masks; they need no labels.
DENSE = ("kmeans_segmentation", "linear_segmentation")
