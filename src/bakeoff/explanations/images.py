"""Errors in images and datasets."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK201",
        title="Images not found",
        meaning="A dataset, folder, archive, manifest or photo is not where it was searched for. Paths in a study file "
        "are relative to that file first, then to the data folders.",
        remedy="Check the path; `bakeoff data get NAME` downloads a registered dataset, `--data-dir DIR` or the "
        "variable BAKEOFF_DATA adds a folder that is searched first.",
        example="cifar10 is not here yet. Get it with: bakeoff data get cifar10",
    ),
    Explanation(
        code="BK202",
        title="A download failed",
        meaning="The server could not be reached, refused the file, or sent another file than was published.",
        remedy="Run the command again: it resumes where the transfer broke off. Without a network, download the file "
        "elsewhere and put it where the message says. Proxies are taken from HTTPS_PROXY.",
        example="The transfer of https://example.org/train.gz broke off at 3 MB of 9,912,422 bytes. The partial file "
        "is "
        "kept in train.gz.part; run again to resume.",
    ),
    Explanation(
        code="BK203",
        title="A file of a dataset is damaged",
        meaning="A dataset's file is cut off, has another checksum or another layout than the publisher's.",
        remedy="Remove the file and get it again with `bakeoff data get NAME`. `bakeoff data verify NAME` checks its "
        "files.",
        example="train-images-idx3-ubyte.gz is truncated: the gzip stream ends early.",
    ),
    Explanation(
        code="BK204",
        title="Images cannot be decoded",
        meaning="Image files are damaged, empty, larger than allowed, or in a format that Pillow does not read. A few "
        "are left out with a note; where a whole class or a larger part is lost, that is an error.",
        remedy="`bakeoff data check FOLDER` lists every file with its reason. Replace or remove these files.",
        example="photos: 12 of 40 images cannot be read: cat/1.jpg (cut off).",
    ),
    Explanation(
        code="BK205",
        title="A folder is not laid out by classes",
        meaning="A folder of images needs a subfolder for each class, or the parts train, val and test with the "
        "classes "
        "below them.",
        remedy="Move the images of each class into a folder of its own, or describe them by a manifest: a CSV file "
        "with "
        "the columns path and label. [data.md](data.md) shows both.",
        example="photos has no class folders: it contains 40 images directly. Put the images of each class into a "
        "separate folder.",
    ),
    Explanation(
        code="BK206",
        title="A manifest is wrong",
        meaning="The table of images cannot be read, lacks the columns path or label, or says two things of one image.",
        remedy="Correct the rows that the message names. A manifest is UTF-8 CSV with a header, or Parquet.",
        example="images.csv has no column label. Its first line must name path and label, but it names: path, class.",
    ),
    Explanation(
        code="BK207",
        title="The classes do not match",
        meaning="A class was named that the images do not have, two classes differ in upper and lower case only, or "
        "there are fewer than two.",
        remedy="`bakeoff data show SOURCE` lists the classes. Name them in `data.classes` exactly as they are written.",
        example="photos has no class 'dgo'. Did you mean 'dog'? Its classes: cat, dog.",
    ),
    Explanation(
        code="BK208",
        title="Too few images in a class",
        meaning="Each class needs an image in every part of a split: one to train, one to validate, one to test, and "
        "one for each fold.",
        remedy="Add images, use fewer folds or another fraction, or leave the class out with `data.classes`.",
        example="photos: class 'fox' has only one image; one must train and one must test. Add images, or leave the "
        "class out with classes.",
    ),
    Explanation(
        code="BK209",
        title="No validation images",
        meaning="The study says `data.validation: own`, but the images have no validation part, or none that can be "
        "used.",
        remedy="Set `data.validation` to a fraction, such as 0.1, or add a folder val or a column split.",
        example="photos has no validation images of its own (a folder val, valid or validation, or a manifest's column "
        "split): set data.validation to a fraction, such as 0.1.",
    ),
    Explanation(
        code="BK210",
        title="Duplicate images",
        meaning="The audit found the same image in two classes, or so many copies of test images among the training "
        "images that scores would be too high.",
        remedy="Correct the labels or remove the copies. `bakeoff data check SOURCE` lists all of them. "
        "`data.duplicates: allow` uses the images as they are, which the report says.",
        example="photos: cat/1.jpg ('cat') and dog/7.jpg ('dog') are the same image in two classes. Correct the labels "
        "or remove these images; duplicates: allow uses them as they are.",
    ),
    Explanation(
        code="BK211",
        title="Groups of images cannot be kept together",
        meaning="Images of one group (a patient, a video) must not be on both sides of a split, and there are too few "
        "groups, or images without one, or a given split separates them.",
        remedy="Correct `data.group`, add images of other groups, or move each group to one side.",
        example="photos: all 40 training images are in one group, p1; no split separates a group, so two or more are "
        "needed.",
    ),
    Explanation(
        code="BK212",
        title="An archive cannot be used",
        meaning="A zip or tar file is damaged, encrypted, holds no images, or unpacks to more than is allowed.",
        remedy="Unpack it with your own tools and name the folder.",
        example="The archive photos.zip is encrypted: unpack it and name the folder.",
    ),
    Explanation(
        code="BK213",
        title="A dataset of the Hugging Face Hub cannot be used",
        meaning="The repository has several configurations, no Parquet files, no training split, or no columns of "
        "images and labels.",
        remedy="Name a configuration, as in `hf:OWNER/NAME:CONFIG`, or download the files and name their folder.",
        example="hf:user/pets has several configurations: large, small. Name one: hf:user/pets:large.",
    ),
    Explanation(
        code="BK214",
        title="Images changed",
        meaning="Images were changed, added or removed while a study used them, or since its trials were trained. "
        "Scores on other images must not be mixed.",
        remedy="Run the study again when the images are complete. Trials on the old images are kept, and trained anew "
        "on the new ones.",
        example="photos: the images changed while the study was running. Run the study again.",
    ),
    Explanation(
        code="BK215",
        title="The image cache cannot be used",
        meaning="Downloaded, unpacked or decoded images cannot be written to disk, or not be read back.",
        remedy="Make room, or set BAKEOFF_CACHE (for downloads, `--data-dir`) to a folder you can write. The cache can "
        "be removed at any time; it is filled again.",
        example="The decoded images of photos cannot be written to /cache/bakeoff: No space left on device. Set "
        "BAKEOFF_CACHE to a folder you can write.",
    ),
)
