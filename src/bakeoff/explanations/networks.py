"""Errors in networks, pretrained weights and metrics."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK301",
        title="A network or augmentation does not fit the images",
        meaning="The images are too small for a layer or a crop, have another number of channels, or two layers do not "
        "fit each other. This is checked before anything is trained.",
        remedy="Set `data.image_size`, or change the layer that the message names: a smaller kernel or stride, or "
        "`padding: same`.",
        example="cnn on 8x8x1 images: layer 1 (conv, kernel 9, padding valid) does not fit its 8x8x1 input: make its "
        "kernel at most 8, or set padding: same",
    ),
    Explanation(
        code="BK302",
        title="A network of your own cannot be built",
        meaning="The class named as `network: MODULE:CLASS` was not found, its import or its constructor failed, or it "
        "is not a torch module.",
        remedy="Start bakeoff in the folder of the module, or install it. The class must be callable without "
        "arguments.",
        example="nets:Small: there is no module nets: start bakeoff in its folder, or install it.",
    ),
    Explanation(
        code="BK303",
        title="A metric of your own fails",
        meaning="The function named as a metric raised an error, returned no finite number, or is not the code that "
        "the "
        "study was run with.",
        remedy="Call the function on a few labels and probabilities, correct it, and run the study again.",
        example="metric scores:cost returned nan: return a finite number for any predictions.",
    ),
    Explanation(
        code="BK304",
        title="No published weights",
        meaning="The network's publisher offers no weights, or they cannot be downloaded from here.",
        remedy="Use a network that has weights (`torchvision:NAME` or `timm:NAME`), go online, or download them "
        "elsewhere and write `weights: {file: PATH}`.",
        example="transfer: no weights are published for cnn: imagenet needs a torchvision:NAME or timm:NAME network; "
        "give a file, a trial or a study's arm.",
    ),
    Explanation(
        code="BK305",
        title="A weights file cannot be used",
        meaning="The file is missing, damaged, has another SHA-256 than the study says, or contains more than tensors. "
        "Nothing is ever unpickled, since that can run code.",
        remedy="Save `module.state_dict()` alone with torch.save, or use safetensors.",
        example="old.pt contains more than tensors, or is not a weights file, so it is not opened: save "
        "module.state_dict() alone, or use safetensors.",
    ),
    Explanation(
        code="BK306",
        title="Weights do not fit the network",
        meaning="Tensors are missing, superfluous or of another shape than the network's. The head may differ; the "
        "body "
        "must not.",
        remedy="Use the settings of the network that the weights were trained with.",
        example="weights.safetensors: these weights do not fit resnet: 2 tensors have other shapes.",
    ),
    Explanation(
        code="BK307",
        title="A transfer has nothing to start from",
        meaning="`transfer.weights` names a trial or a study's arm that is not in the workspace, is not finished, or "
        "has no replicate of this number.",
        remedy="Run that study first, in the same workspace, with as many replicates and folds.",
        example="transfer: no trial 4f3a in the ledger of runs.",
    ),
    Explanation(
        code="BK308",
        title="Weights have seen the test images",
        meaning="The weights that an arm starts from were trained on images that would validate or test it, or on "
        "duplicates of them, so its score would be too high.",
        remedy="Use weights from other images. `data.allow_overlap: true` uses them nevertheless, which the report "
        "says in its first sentence.",
        example="transfer: arm 'tuned' would start from trial 4f3a, which has seen 12 of the test images, so its score "
        "would be too high.",
    ),
    Explanation(
        code="BK309",
        title="No winner to start from",
        meaning="`recipe.from` names a study without a search, or whose search has not ended or found nothing.",
        remedy="Run that study to its end in the same workspace, or name a block that has a winner.",
        example="recipe.from: the search of study 'tune' has not ended: run it first.",
    ),
    Explanation(
        code="BK310",
        title="Predictions cannot be scored",
        meaning="Probabilities and labels do not fit each other, are not finite, or a metric makes no sense for them, "
        "such as the top 5 of 5 classes.",
        remedy="Give one row of probabilities for each label, with a column for each class; choose a smaller k.",
        example="there is no image to score; give at least one image and one class",
    ),
)
