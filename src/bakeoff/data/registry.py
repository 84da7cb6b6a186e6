"""The registered datasets, as one tuple of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bakeoff.data import names
from bakeoff.errors import UnknownDatasetError, nearest
from bakeoff.registry import Implementation, Registry

Split = Literal["train", "test"]


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file as its publisher offers it.

    Attributes:
        path: its place below a data folder, with forward slashes.
        url: where it is downloaded from.
        checksum: `md5:HEX` or `sha256:HEX`, as published.
        num_bytes: its exact size.
    """

    path: str
    url: str
    checksum: str
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class EmbeddedLayout:
    """Images inside an installed package: nothing to locate, nothing to download.

    Attributes:
        read: of `train` or `test`, returns pixels [n, height, width, channels], uint8, and labels [n] from 0, int64.
        package: the distribution that contains them; another version of it is decoded again. None for bakeoff itself.
    """

    read: Implementation
    package: str | None = None


@dataclass(frozen=True, kw_only=True)
class IdxLayout:
    """Four IDX files, raw or with `.gz` added, in one folder.

    Attributes:
        folder: the folder below a data folder in which torchvision stores them.
        train: names of the training split's images and labels, without `.gz`.
        test: the same for the test split.
    """

    folder: str
    train: tuple[str, str] = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    test: tuple[str, str] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, kw_only=True)
class CifarLayout:
    """The publisher's binary records, in a folder or still inside the archive beside it.

    Attributes:
        folder: name of the extracted folder; also the folder inside the archive.
        archive: name of the `.tar.gz`.
        num_label_bytes: 1 (label) or 2 (coarse label, fine label); the last one is used.
        train: names of the files with the training records, in order.
        test: the same for the test split.
        names_file: text file with one class name per line, read if present; or None.
        pickled_folder: the pickled version that other libraries use, which is never read.
    """

    folder: str
    archive: str
    num_label_bytes: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    names_file: str | None
    pickled_folder: str


@dataclass(frozen=True, kw_only=True)
class EmnistLayout:
    """Four transposed IDX files of one archive that holds all of EMNIST: extracted, or still inside.

    Attributes:
        part: the EMNIST split, as in the file names.
        first_label: the label of the first class.
        folders: where extracted files, raw or with `.gz`, may be below a data folder.
        archives: where the archive may be, the downloaded one first.
        inner_folder: the folder inside the archive.
    """

    part: str
    first_label: int = 0
    folders: tuple[str, ...] = ("EMNIST/raw", "EMNIST/raw/gzip", "EMNIST/gzip", "EMNIST", "gzip")
    archives: tuple[str, ...] = ("EMNIST/raw/gzip.zip", "EMNIST/gzip.zip", "gzip.zip")
    inner_folder: str = "gzip"

    def name_files(self, split: Split) -> tuple[str, str]:
        """Return the names of a split's images and labels, without `.gz`."""
        stem = f"emnist-{self.part}-{split}"
        return f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte"


Layout = EmbeddedLayout | IdxLayout | CifarLayout | EmnistLayout


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """One dataset: its images and its source.

    Attributes:
        name: its name in a study file.
        summary: one line for lists.
        source: who made it; a citation.
        image_shape_HWC: height, width, channels of every image.
        class_names: one name per label, in label order.
        num_train: images in the training split (from which validation is drawn).
        num_test: images in the test split.
        layout: how its files are arranged and decoded.
        files: what its publisher offers for download.
    """

    name: str
    summary: str
    source: str
    image_shape_HWC: tuple[int, int, int]
    class_names: tuple[str, ...]
    num_train: int
    num_test: int
    layout: Layout
    files: tuple[PublishedFile, ...] = ()

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def num_images(self, split: Split) -> int:
        """Return the number of images in a split."""
        return self.num_train if split == "train" else self.num_test


def _list_idx_files(folder: str, base_url: str, published: dict[str, tuple[str, int]]) -> tuple[PublishedFile, ...]:
    return tuple(
        PublishedFile(path=f"{folder}/{name}", url=base_url + name, checksum=f"md5:{md5}", num_bytes=num_bytes)
        for name, (md5, num_bytes) in published.items()
    )


def _list_cifar_archive(archive: str, md5: str, num_bytes: int) -> tuple[PublishedFile, ...]:
    url = f"https://www.cs.toronto.edu/~kriz/{archive}"
    return (PublishedFile(path=archive, url=url, checksum=f"md5:{md5}", num_bytes=num_bytes),)


_EMNIST_ARCHIVE = PublishedFile(
    path="EMNIST/raw/gzip.zip",
    url="https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
    checksum="md5:58c8d27c78d21e728a6bc7b3cc06412e",
    num_bytes=561_753_746,
)


def _make_emnist(
    part: str, summary: str, class_names: tuple[str, ...], num_train: int, num_test: int, first_label: int = 0
) -> DatasetRecord:
    return DatasetRecord(
        name=f"emnist-{part}",
        summary=summary,
        source="Cohen, Afshar, Tapson and van Schaik 2017, EMNIST: an extension of MNIST to handwritten letters",
        image_shape_HWC=(28, 28, 1),
        class_names=class_names,
        num_train=num_train,
        num_test=num_test,
        layout=EmnistLayout(part=part, first_label=first_label),
        files=(_EMNIST_ARCHIVE,),
    )


_OURS: tuple[DatasetRecord, ...] = (
    DatasetRecord(
        name="digits",
        summary="1,797 grayscale 8x8 handwritten digits; included, no download",
        source="Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), as in scikit-learn",
        image_shape_HWC=(8, 8, 1),
        class_names=names.DIGITS,
        num_train=1438,
        num_test=359,
        layout=EmbeddedLayout(read="bakeoff.data.digits:read_digits"),
    ),
    DatasetRecord(
        name="mnist",
        summary="70,000 grayscale 28x28 handwritten digits",
        source="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
        image_shape_HWC=(28, 28, 1),
        class_names=names.DIGITS,
        num_train=60_000,
        num_test=10_000,
        layout=IdxLayout(folder="MNIST/raw"),
        files=_list_idx_files(
            "MNIST/raw",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            {
                "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
                "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
                "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
                "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
            },
        ),
    ),
    DatasetRecord(
        name="fashion-mnist",
        summary="70,000 grayscale 28x28 images of clothes",
        source="Xiao, Rasul and Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747",
        image_shape_HWC=(28, 28, 1),
        class_names=names.FASHION,
        num_train=60_000,
        num_test=10_000,
        layout=IdxLayout(folder="FashionMNIST/raw"),
        files=_list_idx_files(
            "FashionMNIST/raw",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            {
                "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
                "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
                "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
                "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
            },
        ),
    ),
    DatasetRecord(
        name="cifar10",
        summary="60,000 colour 32x32 images in 10 classes",
        source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
        image_shape_HWC=(32, 32, 3),
        class_names=names.CIFAR10,
        num_train=50_000,
        num_test=10_000,
        layout=CifarLayout(
            folder="cifar-10-batches-bin",
            archive="cifar-10-binary.tar.gz",
            num_label_bytes=1,
            train=tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
            test=("test_batch.bin",),
            names_file=None,
            pickled_folder="cifar-10-batches-py",
        ),
        files=_list_cifar_archive("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170_052_171),
    ),
    DatasetRecord(
        name="cifar100",
        summary="60,000 colour 32x32 images in 100 fine classes",
        source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
        image_shape_HWC=(32, 32, 3),
        class_names=names.CIFAR100_FINE,
        num_train=50_000,
        num_test=10_000,
        layout=CifarLayout(
            folder="cifar-100-binary",
            archive="cifar-100-binary.tar.gz",
            num_label_bytes=2,
            train=("train.bin",),
            test=("test.bin",),
            names_file="fine_label_names.txt",
            pickled_folder="cifar-100-python",
        ),
        files=_list_cifar_archive("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 168_513_733),
    ),
    _make_emnist(
        "balanced",
        "131,600 grayscale 28x28 handwritten digits and letters in 47 classes of equal size",
        names.EMNIST_MERGED,
        112_800,
        18_800,
    ),
    _make_emnist(
        "byclass",
        "814,255 grayscale 28x28 handwritten digits, upper- and lower-case letters in 62 classes",
        names.EMNIST_BYCLASS,
        697_932,
        116_323,
    ),
    _make_emnist(
        "bymerge",
        "814,255 grayscale 28x28 handwritten digits and letters in 47 classes, similar ones merged",
        names.EMNIST_MERGED,
        697_932,
        116_323,
    ),
    _make_emnist(
        "letters",
        "145,600 grayscale 28x28 handwritten letters in 26 classes, upper and lower case merged",
        names.LETTERS,
        124_800,
        20_800,
        first_label=1,
    ),
    _make_emnist(
        "digits",
        "280,000 grayscale 28x28 handwritten digits in classes of equal size",
        names.DIGITS,
        240_000,
        40_000,
    ),
    _make_emnist(
        "mnist",
        "70,000 grayscale 28x28 handwritten digits, made as MNIST was and processed as EMNIST",
        names.DIGITS,
        60_000,
        10_000,
    ),
)


DATASETS: Registry[DatasetRecord] = Registry("dataset", _OURS, "bakeoff.datasets")


def find_dataset(name: str) -> DatasetRecord:
    """Return the record of the dataset called `name`.

    Raises:
        DataError: no dataset has this name; the message lists all names and the closest.
    """
    record = DATASETS.get(name)
    if record is not None:
        return record
    known = DATASETS.names
    raise UnknownDatasetError(f"Unknown dataset '{name}'.{nearest(name, known)} Known: {', '.join(known)}.")
