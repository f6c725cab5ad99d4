"""Data sets: file formats on tiny synthetic files, the digits asset, and the real files."""

import errno
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from eqprop.training.data import (
    datasets as data,
)
from eqprop.training.data import (
    fetch as _fetch,
)
from eqprop.training.data import (
    formats as _formats,
)
from eqprop.training.data import (
    sources as _sources,
)
from eqprop.training.data.datasets import Dataset, check, check_both, load_dataset
from eqprop.training.data.formats import DataError, read_idx
from eqprop.training.data.sources import Split
from eqprop.training.data.validation import split_validation
from eqprop.training.epoch import Examples

LOCAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL_DATA = Path(os.environ.get("EQPROP_DATA") or LOCAL_DATA)
FOLDER = "cifar-10-batches-bin"


def needs(name):
    return pytest.mark.skipif(
        not (REAL_DATA / name).is_dir(),
        reason=f"REAL {name} DATA NOT TESTED: no folder {REAL_DATA / name}; set EQPROP_DATA",
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep every test away from the user's cache and environment."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(_sources, "cache_dir", lambda: folder)
    monkeypatch.delenv("EQPROP_DATA", raising=False)
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def md5(content):
    return hashlib.md5(content).hexdigest()


def idx(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


# --- IDX ------------------------------------------------------------------------------------


def test_read_idx_gives_shape_and_values():
    images = np.arange(24).reshape(2, 3, 4)
    read = read_idx(idx(images), "images")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, images)
    read[0] = 7


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", r"f\.idx: expected IDX magic number"),
        (b"\x00\x00\x08", "magic number"),
        (b"\x00\x00\x0d\x01" + bytes(8), "magic number.*got '00 00 0d 01'"),
        (b"\x1f\x8b\x08\x01" + bytes(8), "magic number.*got '1f 8b 08 01'"),
        (b"\x00\x00\x08\x00" + bytes(8), "magic number"),
        (b"\x00\x00\x08\x03" + bytes(11), r"header of 16 bytes, got 15 bytes \(truncated\)"),
        (idx(np.ones((2, 3)))[:-1], r"expected 18 bytes .*\(2, 3\), got 17 bytes \(truncated\)"),
        (idx(np.ones((2, 3))) + b"ab", r"got 20 bytes \(2 trailing bytes\)"),
    ],
)
def test_read_idx_refuses_malformed_content(content, pattern):
    with pytest.raises(DataError, match=f"(?s){pattern}.*point data_dir .* at an intact copy"):
        read_idx(content, "f.idx")


ARRAYS = {
    "train-images-idx3-ubyte": np.arange(3 * 28 * 28).reshape(3, 28, 28) % 251,
    "train-labels-idx1-ubyte": np.array([4, 0, 9]),
    "t10k-images-idx3-ubyte": np.arange(2 * 28 * 28).reshape(2, 28, 28) % 241,
    "t10k-labels-idx1-ubyte": np.array([1, 2]),
}


def expect_idx(monkeypatch, zipped, plain, **changes):
    """Make the contents (by file name) the published ones of `mnist`."""
    sums = tuple(_sources.IdxSums(md5(zipped[n]), md5(plain[n])) for n in _sources.IDX_NAMES)
    source = replace(_sources.MNIST, sums=sums, **changes)
    monkeypatch.setitem(data._ENTRIES, "mnist", data._Entry(source.read))


@pytest.fixture
def mnist(root, monkeypatch):
    """Four tiny gzipped files in `root`, with matching checksums; gives `root`."""
    plain = {name: idx(array) for name, array in ARRAYS.items()}
    zipped = {name: gzip.compress(content) for name, content in plain.items()}
    expect_idx(monkeypatch, zipped, plain)
    for name, content in zipped.items():
        (root / f"{name}.gz").write_bytes(content)
    return root


def assert_tiny_mnist(dataset):
    parts = (dataset.train.x, dataset.train.y, dataset.test.x, dataset.test.y)
    for part, (name, expected) in zip(parts, ARRAYS.items(), strict=True):
        np.testing.assert_array_equal(part, expected[..., None] if "images" in name else expected)
    assert [part.dtype for part in parts] == [np.uint8, np.int32] * 2
    assert (dataset.name, dataset.classes, dataset.scale) == ("mnist", 10, 255)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.features == 784


def test_folder_with_the_files(mnist):
    assert_tiny_mnist(load_dataset("mnist", mnist))
    assert_tiny_mnist(load_dataset("mnist", str(mnist)))


def test_parent_folder(mnist):
    parent = mnist.parent / "parent"
    parent.mkdir()
    mnist.rename(parent / "mnist")
    assert_tiny_mnist(load_dataset("mnist", parent))


def test_environment_variable_and_precedence_of_the_argument(mnist, monkeypatch):
    monkeypatch.setenv("EQPROP_DATA", str(mnist))
    assert_tiny_mnist(load_dataset("mnist"))
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load_dataset("mnist", mnist / "elsewhere")
    monkeypatch.setenv("EQPROP_DATA", str(mnist / "elsewhere"))
    assert_tiny_mnist(load_dataset("mnist", mnist))


def test_unzipped_files(mnist):
    for name, array in ARRAYS.items():
        (mnist / f"{name}.gz").unlink()
        (mnist / name).write_bytes(idx(array))
    assert_tiny_mnist(load_dataset("mnist", mnist))
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([1, 3])))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte: expected md5"):
        load_dataset("mnist", mnist)


def test_missing_file_lists_names_and_folders(mnist):
    (mnist / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("mnist", mnist)
    message = str(caught.value)
    names = (f"t10k-labels{mark}idx1-ubyte{end}" for mark in "-." for end in (".gz", ""))
    there = "t10k-images-idx3-ubyte.gz, train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz"
    assert message.startswith(
        f"mnist: expected {' or '.join(names)} in {mnist / 'mnist'} (absent) or {mnist} (holds {there})"
    )
    assert "--data-dir" in message and "EQPROP_DATA" in message


def test_missing_folder(tmp_path):
    absent = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=r"nowhere \(absent\), got no such file"):
        load_dataset("cifar-10", absent)


def test_an_absent_folder_is_told_by_digits_too(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere \(absent\); digits come with the package"
    ):
        load_dataset("digits", tmp_path / "nowhere")
    assert len(load_dataset("digits", tmp_path).train.y)


def test_files_zipped_again_are_taken(mnist):
    before = load_dataset("mnist", mnist)
    for path in mnist.glob("*.gz"):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    np.testing.assert_array_equal(load_dataset("mnist", mnist).train.x, before.train.x)


def test_wrong_checksum_names_file_and_both_sums(mnist):
    path = mnist / "train-labels-idx1-ubyte.gz"
    good, other = gzip.decompress(path.read_bytes()), idx(np.array([4, 0, 8]))
    path.write_bytes(gzip.compress(other))
    with pytest.raises(DataError) as caught:
        load_dataset("mnist", mnist)
    message = str(caught.value)
    assert f"{path}: expected md5 {md5(good)}, got md5 {md5(other)}" in message
    assert "or a file of another data set: point data_dir" in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:40] + bytes((content[40] ^ 0xFF,)) + content[41:],
        lambda content: b"<html>not found</html>",
        lambda content: content[:10],
    ],
)
def test_damaged_gzip_names_the_file(mnist, damage):
    path = mnist / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: expected a complete gzip"):
        load_dataset("mnist", mnist)


def test_images_and_labels_that_disagree_are_refused(mnist, monkeypatch):
    plain = {name: idx(array) for name, array in ARRAYS.items()}
    plain["t10k-labels-idx1-ubyte"] = idx(np.array([1]))
    for name, content in plain.items():
        (mnist / f"{name}.gz").unlink()
        (mnist / name).write_bytes(content)
    expect_idx(monkeypatch, plain, plain)
    with pytest.raises(DataError, match=r"labels: expected shape \(2,\).*got \(1,\)"):
        load_dataset("mnist", mnist)


# --- CIFAR-10 -------------------------------------------------------------------------------


def cifar_blob(label, seed):
    """Two records; gives (bytes, images (2, 32, 32, 3), labels)."""
    images = np.random.default_rng(seed).integers(0, 256, (2, 32, 32, 3), np.uint8)
    labels = np.array([label, 9 - label], np.uint8)
    records = [
        bytes((int(y),)) + b"".join(x[:, :, c].tobytes() for c in range(3))
        for y, x in zip(labels, images, strict=True)
    ]
    return b"".join(records), images, labels


BLOBS = {name: cifar_blob(i, i) for i, name in enumerate(_sources.BINARY.md5s)}


def cifar_tar(mode, members, prefix=f"{FOLDER}/"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def blob_bytes():
    return {name: blob for name, (blob, _, _) in BLOBS.items()}


def python_bytes():
    """The same records as Python 2 pickled them, by the names of its files."""
    return {name.removesuffix(".bin"): python_blob(*rest) for name, (_, *rest) in BLOBS.items()}


def python_blob(images, labels):
    """The opcodes of one of the published files, less their memo."""
    data = images.transpose(0, 3, 1, 2).tobytes()
    text = b"".join(b"U" + bytes((len(word),)) + word for word in (b"batch_label", b"data"))
    listed = b"](" + b"".join(b"K" + bytes((int(y),)) for y in labels) + b"e"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02M\x00\x0c"
        b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<I", len(data)) + data + b"tb"
    )
    files = b"U\tfilenames](U\x04dataU\x06labelse"
    return b"\x80\x02}(" + text + b"U\x06labels" + listed + b"U\x04data" + array + files + b"u."


def expect_cifar(monkeypatch, **changes):
    layouts = (
        replace(layout, md5s={name: md5(blob) for name, blob in blobs.items()})
        for layout, blobs in zip(
            _sources.CIFAR_10.layouts, (blob_bytes(), python_bytes()), strict=True
        )
    )
    source = replace(_sources.CIFAR_10, layouts=tuple(layouts), **changes)
    monkeypatch.setitem(data._ENTRIES, "cifar-10", data._Entry(source.read))


@pytest.fixture
def cifar(root, monkeypatch):
    """`root` with a tiny tar.xz whose members are the published ones."""
    expect_cifar(monkeypatch)
    members = {"batches.meta.txt": b"airplane\n", **blob_bytes()}
    (root / "cifar-10-binary.tar.xz").write_bytes(cifar_tar("w:xz", members))
    return root


def assert_tiny_cifar(dataset):
    *train, (_, test_images, test_labels) = BLOBS.values()
    np.testing.assert_array_equal(dataset.train.x, np.concatenate([x for _, x, _ in train]))
    np.testing.assert_array_equal(dataset.train.y, np.concatenate([y for _, _, y in train]))
    np.testing.assert_array_equal(dataset.test.x, test_images)
    np.testing.assert_array_equal(dataset.test.y, test_labels)
    assert dataset.train.x.dtype == np.uint8 and dataset.train.y.dtype == np.int32
    assert dataset.image_shape == (32, 32, 3)


def hundred(monkeypatch, root, content, **changes):
    """`root` with an archive of two-label records, and the source that expects it."""
    (root / "cifar-100-binary.tar.gz").write_bytes(content)
    source = replace(_sources.CIFAR_100, **({"md5": md5(content)} | changes))
    monkeypatch.setitem(data._ENTRIES, "cifar-100", data._Entry(source.read, 100))


def hundred_blob(labels, seed):
    """Records of a coarse label, a fine one and an image of three planes."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    records = [
        bytes(pair) + x.transpose(2, 0, 1).tobytes() for pair, x in zip(labels, images, strict=True)
    ]
    return b"".join(records), images


def hundred_tar(train, test):
    return cifar_tar("w:gz", {"train.bin": train, "test.bin": test}, "cifar-100-binary/")


def test_cifar_100_takes_the_fine_labels(root, monkeypatch):
    train, images = hundred_blob([(19, 99), (0, 0), (7, 42)], 0)
    test, test_images = hundred_blob([(3, 77)], 1)
    hundred(monkeypatch, root, hundred_tar(train, test))
    found = load_dataset("cifar-100", root)
    np.testing.assert_array_equal(found.train.x, images)
    np.testing.assert_array_equal(found.train.y, [99, 0, 42])
    np.testing.assert_array_equal(found.test.x, test_images)
    np.testing.assert_array_equal(found.test.y, [77])
    assert found.classes == 100 and found.train.y.dtype == np.int32


def test_cifar_100_with_another_checksum(root, monkeypatch):
    content = hundred_tar(hundred_blob([(1, 2)], 0)[0], hundred_blob([(3, 4)], 1)[0])
    hundred(monkeypatch, root, content, md5=_sources.CIFAR_100.md5)
    with pytest.raises(DataError, match=r"cifar-100-binary\.tar\.gz: expected md5 03b5dce0"):
        load_dataset("cifar-100", root)


def test_cifar_100_refuses_records_of_one_label(root, monkeypatch):
    hundred(monkeypatch, root, hundred_tar(BLOBS["test_batch.bin"][0], b""))
    with pytest.raises(DataError, match=r"train\.bin: expected a positive multiple of 3074 bytes"):
        load_dataset("cifar-100", root)


def test_frame_puts_images_in_the_middle():
    split = Split(np.full((2, 5, 8, 3), 9, np.uint8), np.zeros(2, np.int32))
    framed = data.frame(Dataset("own", split, split, 1, 255.0), 4)
    assert framed.image_shape == (8, 8, 3) and framed.test.x.shape == (2, 8, 8, 3)
    np.testing.assert_array_equal(framed.train.x[:, 1:6], split.x)
    assert framed.train.x.sum() == split.x.sum()
    whole = Dataset("own", split, split, 1, 255.0)
    assert data.frame(whole, 1) is whole


def test_read_cifar_planes_become_channels():
    planes = np.zeros((3, 32, 32), np.uint8)
    planes[1, 2, 5] = 200
    images, labels = _formats.read_cifar(b"\x07" + planes.tobytes(), "batch")
    assert labels.tolist() == [7]
    assert np.argwhere(images).tolist() == [[0, 2, 5, 1]]


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 2 * 3073 - 1])
def test_read_cifar_refuses_other_lengths(size):
    with pytest.raises(DataError, match=f"batch: expected a positive multiple.*got {size} bytes"):
        _formats.read_cifar(bytes(size), "batch")


def test_cifar_tar_xz(cifar):
    assert_tiny_cifar(load_dataset("cifar-10", cifar))


def test_cifar_tar_gz_in_a_subfolder_with_dotted_member_names(root, monkeypatch):
    expect_cifar(monkeypatch)
    (root / "cifar-10").mkdir()
    archive = cifar_tar("w:gz", blob_bytes(), prefix=f"./{FOLDER}/")
    (root / "cifar-10" / "cifar-10-binary.tar.gz").write_bytes(archive)
    assert_tiny_cifar(load_dataset("cifar-10", root))


def test_cifar_unpacked_folder_needs_no_cache(root, cache, monkeypatch):
    expect_cifar(monkeypatch)
    folder = root / FOLDER
    folder.mkdir()
    for name, blob in blob_bytes().items():
        (folder / name).write_bytes(blob)
    assert_tiny_cifar(load_dataset("cifar-10", root))
    assert_tiny_cifar(load_dataset("cifar-10", folder))
    assert not cache.exists()
    (folder / "data_batch_2.bin").write_bytes(bytes(2 * 3073))
    with pytest.raises(DataError, match=r"data_batch_2\.bin: expected md5 .*\(6146 bytes\)"):
        load_dataset("cifar-10", root)
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected data_batch_2\.bin in"):
        load_dataset("cifar-10", root)


def test_cifar_member_with_another_checksum(root, monkeypatch):
    expect_cifar(monkeypatch)
    members = {**blob_bytes(), "data_batch_3.bin": bytes(3073)}
    (root / "cifar-10-binary.tar.gz").write_bytes(cifar_tar("w:gz", members))
    with pytest.raises(DataError, match=r"tar\.gz.data_batch_3\.bin: expected md5"):
        load_dataset("cifar-10", root)


def test_cifar_archive_without_a_member(root, monkeypatch):
    expect_cifar(monkeypatch)
    members = blob_bytes()
    del members["test_batch.bin"]
    (root / "cifar-10-binary.tar.xz").write_bytes(cifar_tar("w:xz", members))
    with pytest.raises(DataError, match=r"an archive without \['.*/test_batch\.bin'\]"):
        load_dataset("cifar-10", root)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
@pytest.mark.parametrize("keep", [0, 5, 100, -20000])
def test_cifar_archive_cut_short(root, cache, monkeypatch, mode, keep):
    expect_cifar(monkeypatch)
    path = root / f"cifar-10-binary.tar.{mode[2:]}"
    path.write_bytes(cifar_tar(mode, blob_bytes())[:keep])
    with pytest.raises(DataError, match=f"tar.{mode[2:]}: expected a complete tar archive"):
        load_dataset("cifar-10", root)
    assert not cache.exists()


def test_cifar_second_load_comes_from_the_cache(cifar, cache, monkeypatch):
    load_dataset("cifar-10", cifar)
    assert [path.suffix for path in cache.iterdir()] == [".npz"]
    monkeypatch.setattr(_sources, "read_tar", None)
    assert_tiny_cifar(load_dataset("cifar-10", cifar))


def flip_last_third(content):
    position = 2 * len(content) // 3
    return content[:position] + bytes((content[position] ^ 1,)) + content[position + 1 :]


def npz_of(blobs):
    stream = io.BytesIO()
    np.savez(stream, **{name: np.frombuffer(blob, np.uint8) for name, blob in blobs.items()})
    return stream.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-100],
        lambda content: b"junk" * 1000,
        flip_last_third,
        lambda content: npz_of({"other": b"abc"}),
        lambda content: npz_of({**blob_bytes(), "data_batch_1.bin": bytes(2 * 3073)}),
    ],
)
def test_damaged_cache_is_rebuilt_with_a_warning(cifar, cache, damage):
    load_dataset("cifar-10", cifar)
    (file,) = cache.iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    with pytest.warns(RuntimeWarning, match="damaged one. Rebuilding it"):
        dataset = load_dataset("cifar-10", cifar)
    assert_tiny_cifar(dataset)
    assert _formats.read_npz(file, 10**6) == blob_bytes()
    assert_tiny_cifar(load_dataset("cifar-10", cifar))


def test_cache_folder_that_cannot_be_made_only_warns(cifar, cache):
    cache.write_text("a file where the folder should be")
    with pytest.warns(RuntimeWarning, match="expected to keep an unpacked copy"):
        dataset = load_dataset("cifar-10", cifar)
    assert_tiny_cifar(dataset)


def test_full_cache_disk_only_warns_and_leaves_nothing(cifar, cache, monkeypatch):
    def savez(file, **_):
        file.write(b"partial")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", savez)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        dataset = load_dataset("cifar-10", cifar)
    assert_tiny_cifar(dataset)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", ["cifar-10-binary.tar", "cifar-10/cifar-10-binary.tar"])
def test_cifar_plain_tar(root, monkeypatch, name):
    expect_cifar(monkeypatch)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(cifar_tar("w:", blob_bytes()))
    assert_tiny_cifar(load_dataset("cifar-10", root))


# --- layouts of others ----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "MNIST/raw", "raw"])
@pytest.mark.parametrize("end", [".gz", ""])
@pytest.mark.parametrize("mark", ["-", "."])
def test_idx_files_as_others_name_and_place_them(mnist, place, end, mark):
    (mnist / place).mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        content = (mnist / f"{name}.gz").read_bytes()
        (mnist / f"{name}.gz").unlink()
        path = mnist / place / f"{name.replace('-idx', f'{mark}idx')}{end}"
        path.write_bytes(content if end else gzip.decompress(content))
    assert_tiny_mnist(load_dataset("mnist", mnist))


def test_the_python_layout_is_read_and_nothing_in_it_carried_out(root, monkeypatch):
    expect_cifar(monkeypatch)
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, blob in python_bytes().items():
        (folder / name).write_bytes(blob)
    assert_tiny_cifar(load_dataset("cifar-10", root))
    assert_tiny_cifar(load_dataset("cifar-10", folder))
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(U\x04false\x85R.")
    with pytest.raises(DataError, match=r"test_batch: expected md5"):
        load_dataset("cifar-10", root)


def test_the_archive_of_the_python_layout(root, monkeypatch):
    expect_cifar(monkeypatch)
    archive = cifar_tar("w:gz", python_bytes(), "cifar-10-batches-py/")
    (root / "cifar-10-python.tar.gz").write_bytes(archive)
    assert_tiny_cifar(load_dataset("cifar-10", root))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "a batch in the Python layout, got"),
        (b"\x80\x02}U", "a batch in the Python layout, got"),
        (b"not a pickle", "a batch in the Python layout, got"),
        (b"\x80\x02}.", "an image for each label, got 0 bytes for 0 labels"),
        (python_blob(*BLOBS["test_batch.bin"][1:])[:-1], "a batch in the Python layout, got"),
        (
            python_blob(BLOBS["test_batch.bin"][1], [1]),
            "an image for each label, got 6144 bytes for 1 ",
        ),
    ],
)
def test_other_pickles_are_refused(content, says):
    with pytest.raises(DataError, match=f"batch: expected {says}"):
        _formats.read_pickled(content, "batch")


def test_a_layout_that_is_not_read_is_named(root):
    (root / "cifar-100-python").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"expected cifar-100-binary.tar.gz in .*\(holds cifar-100-p"
    ):
        load_dataset("cifar-100", root)
    for i in range(20):
        (root / f"file-{i}").touch()
    with pytest.raises(FileNotFoundError, match=r"holds .*, file-\d+ and 13 more\)"):
        load_dataset("cifar-100", root)


# --- sizes ----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Bounds of a few kilobytes in the place of the published sizes."""
    monkeypatch.setattr(_sources, "IDX_BYTES", 4000)
    monkeypatch.setattr(_sources, "CIFAR_BYTES", 60_000)


def memory_of(action):
    """The most bytes that Python held at once, more than before."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zipped", [True, False])
def test_an_idx_file_of_endless_zeros_is_read_to_its_bound(mnist, small, zipped):
    path = mnist / f"train-images-idx3-ubyte{'.gz' * zipped}"
    zeros = bytes(10**7)
    path.write_bytes(gzip.compress(zeros) if zipped else zeros)
    if not zipped:
        (mnist / "train-images-idx3-ubyte.gz").unlink()

    def refused():
        with pytest.raises(DataError, match=rf"{path}: expected at most 4000 bytes"):
            load_dataset("mnist", mnist)

    assert memory_of(refused) < 10**6


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:xz", "w:bz2"])
def test_an_archive_is_read_to_its_bound(root, small, monkeypatch, mode):
    expect_cifar(monkeypatch)
    members = {"junk": bytes(4 * 10**7), **blob_bytes()}
    name = f"cifar-10-binary.tar.{mode[2:]}".rstrip(".").replace(".bz2", ".gz")
    (root / name).write_bytes(cifar_tar(mode, members))
    del members

    def refused():
        with pytest.raises(DataError, match=rf"{name}: expected at most 60000 bytes"):
            load_dataset("cifar-10", root)

    assert memory_of(refused) < 2 * 10**7  # xz remembers 8 MiB


def test_a_sparse_member_is_not_blown_up(root, small, monkeypatch):
    expect_cifar(monkeypatch)
    info = tarfile.TarInfo(f"{FOLDER}/data_batch_1.bin")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(10**12),
    }
    info.size = 1
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"x"))
    (root / "cifar-10-binary.tar").write_bytes(stream.getvalue())
    with pytest.raises(
        DataError, match=r"members of a size, got .*data_batch_1.bin of 1000000000000 bytes"
    ):
        load_dataset("cifar-10", root)


def test_an_unpacked_copy_that_blows_up_is_rebuilt(cifar, cache, small):
    load_dataset("cifar-10", cifar)
    (file,) = cache.iterdir()
    np.savez_compressed(file, **{"data_batch_1.bin": np.zeros(4 * 10**7, np.uint8)})
    with pytest.warns(RuntimeWarning, match="damaged one. Rebuilding it"):
        assert memory_of(lambda: assert_tiny_cifar(load_dataset("cifar-10", cifar))) < 2 * 10**7


def test_an_archive_of_another_size_is_refused_before_its_checksum(root, small, monkeypatch):
    hundred(monkeypatch, root, bytes(10**6))
    with pytest.raises(DataError, match=r"cifar-100-binary.tar.gz: expected at most 60000 bytes"):
        load_dataset("cifar-100", root)


# --- without a home -------------------------------------------------------------------------


def no_home(project):
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("os_cache", [no_home, lambda project: f"~/.cache/{project}"])
def test_without_a_home_local_files_are_read(cifar, monkeypatch, os_cache):
    monkeypatch.setattr(_sources, "cache_dir", _fetch.cache_dir)
    monkeypatch.setattr("pooch.os_cache", os_cache)
    assert_tiny_cifar(load_dataset("cifar-10", cifar))
    with pytest.raises(FileNotFoundError, match=r"a user without a home. Set HOME .* data_dir"):
        load_dataset("mnist")
    with pytest.raises(FileNotFoundError, match=r"~/nowhere \(absent\)"):
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        load_dataset("mnist", "~/nowhere")


# --- download -------------------------------------------------------------------------------


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(folder, url): a web server of this machine that hands out the folder."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def served_mnist(server, monkeypatch):
    folder, url = server
    plain = {name: idx(array) for name, array in ARRAYS.items()}
    zipped = {name: gzip.compress(content) for name, content in plain.items()}
    expect_idx(monkeypatch, zipped, plain, url=url)
    for name, content in zipped.items():
        (folder / f"{name}.gz").write_bytes(content)
    return folder


def test_download_fills_the_cache_once(served_mnist, cache):
    assert_tiny_mnist(load_dataset("mnist"))
    assert len(list((cache / "mnist").iterdir())) == 4
    for path in served_mnist.iterdir():
        path.unlink()
    assert_tiny_mnist(load_dataset("mnist"))


def test_download_with_another_checksum(served_mnist, cache):
    (served_mnist / "train-labels-idx1-ubyte.gz").write_bytes(b"not what was published")
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: expected md5"):
        load_dataset("mnist")
    assert [path.name for path in (cache / "mnist").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_a_download_that_does_not_end_is_stopped(served_mnist, cache, small):
    (served_mnist / "train-images-idx3-ubyte.gz").write_bytes(bytes(10**6))
    with pytest.raises(DataError, match=r"train-images.*expected md5 .*more bytes than the file"):
        load_dataset("mnist")
    assert list((cache / "mnist").iterdir()) == []


def test_download_that_fails_says_what_to_do(served_mnist):
    (served_mnist / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"(?s)from http.*404.*Check the connection.*--data"
    ):
        load_dataset("mnist")


def test_download_to_a_folder_that_cannot_be_made(served_mnist, cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(
        FileNotFoundError, match=r"to .*cache.*Check the connection and that folder"
    ):
        load_dataset("mnist")


def test_cifar_download(server, cache, monkeypatch):
    folder, url = server
    archive = cifar_tar("w:gz", blob_bytes())
    (folder / "tiny.tar.gz").write_bytes(archive)
    expect_cifar(monkeypatch, url=f"{url}tiny.tar.gz", archive_md5=md5(archive))
    assert_tiny_cifar(load_dataset("cifar-10"))
    (cache / "cifar-10" / "tiny.tar.gz").unlink()
    (folder / "tiny.tar.gz").unlink()
    assert_tiny_cifar(load_dataset("cifar-10"))


# --- names, check, split_validation ---------------------------------------------------------


def test_names():
    assert data.NAMES == (
        "digits",
        "mnist",
        "mnist-100",
        "mnist-1000",
        "fashion-mnist",
        "cifar-10",
        "cifar-100",
    )


@pytest.mark.parametrize(("name", "close"), [("MNIST", "mnist"), ("cifar10", "cifar-10")])
def test_unknown_name_suggests_a_close_one(name, close):
    with pytest.raises(ValueError, match=f"digits, mnist.*got '{name}'.*Did you mean '{close}'"):
        load_dataset(name)


def test_unknown_name_without_a_close_one():
    with pytest.raises(ValueError, match=r"got 'imagenet-22k'\.$"):
        load_dataset("imagenet-22k")


def a_split(n=4, dtype=np.uint8):
    return Split(np.zeros((n, 2, 3, 1), dtype), np.arange(n, dtype=np.int32))


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("labels", [np.uint8, np.int16, np.uint64])
def test_what_check_accepts_becomes_the_same_batch(dtype, labels):
    """Also of strides that are no array's own."""
    images = np.arange(48).reshape(2, 4, 3, 2).astype(dtype).transpose(1, 0, 2, 3)[::-1, :, :, :1]
    y = np.arange(8, dtype=labels)[::-2] // 2
    check(Split(images, y), 4)
    given = Examples(jnp.asarray(images), jnp.asarray(y), 2.0, 4)
    x, one_hot = given.batch(given.x, given.y, None)
    np.testing.assert_array_equal(x, images.astype(float) / 2)
    np.testing.assert_array_equal(np.argmax(one_hot, 1), [3, 2, 1, 0])


NOT_FINITE = np.zeros((4, 2, 3, 1), np.float32)
NOT_FINITE[1, 0, 0, 0], NOT_FINITE[2, 0, 0, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("x", "y", "pattern"),
    [
        (np.zeros(4, np.uint8), np.arange(4), r"images: expected non-empty shape.*\(4,\)"),
        (np.zeros((0, 2, 3, 1), np.uint8), np.arange(0), "images: expected non-empty"),
        (np.zeros((4, 2, 3, 1), np.int32), np.arange(4), "dtype uint8 or floating.*got int32"),
        (NOT_FINITE, np.arange(4), "finite values, got 2 that are not"),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(3), r"labels: expected shape \(4,\)"),
        (np.zeros((4, 2, 3, 1), np.uint8), np.eye(4, dtype=int), r"got \(4, 4\)"),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(4.0), "an integer dtype, got float64"),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(1, 5), r"values in \[0, 4\), got 1 to 4"),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(-1, 3), "got -1 to 2"),
        (
            np.zeros((4, 2, 3, 1), ">f4"),
            np.arange(4),
            r"float32 in the byte order .*got >f4\. .*astype",
        ),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(4, dtype=">i8"), r"labels: .*int64 .*got >i8"),
        (np.zeros((4, 2, 3, 1), np.longdouble), np.arange(4), "of 16 to 64 bits, got .*128"),
        (np.zeros((4, 2, 3, 1), object), np.arange(4), "dtype uint8 or .*, got object"),
        (np.zeros((4, 2, 3, 1), bool), np.arange(4), "dtype uint8 or .*, got bool"),
        (np.zeros((4, 2, 3, 1), "V8"), np.arange(4), "dtype uint8 or .*, got "),
        (
            np.full((4, 2, 3, 1), 1e300),
            np.arange(4),
            "finite values, got 24 that are not, in float32",
        ),
        (
            np.ma.zeros((4, 2, 3, 1), np.uint8),
            np.arange(4),
            "images: expected an array without a mask",
        ),
        (
            np.zeros((4, 2, 3, 1), np.uint8),
            np.ma.arange(4),
            "labels: expected an array without a mask",
        ),
        (
            np.zeros((4, 2, 3, 1), np.uint8),
            np.arange(4, dtype=np.uint64) + 2**63,
            r"\[0, 4\), got 92",
        ),
        (np.zeros((4, 2, 3, 1), np.uint8), np.arange(4) > 1, "an integer dtype, got bool"),
    ],
)
def test_check_refuses(x, y, pattern):
    with pytest.raises(DataError, match=pattern):
        check(Split(x, y), 4)


def labelled(counts):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    return Split(np.arange(len(y)).reshape(-1, 1, 1, 1), y.astype(np.int32))


def test_split_validation_divides_and_stratifies():
    split = labelled([50, 30, 20])
    train, validation = split_validation(split, 10, seed=3)
    assert np.bincount(validation.y).tolist() == [5, 3, 2]
    ids = np.concatenate([train.x.ravel(), validation.x.ravel()])
    np.testing.assert_array_equal(np.sort(ids), np.arange(100))
    for part in (train, validation):
        assert (np.diff(part.x.ravel()) > 0).all()
        np.testing.assert_array_equal(part.y, split.y[part.x.ravel()])
        assert part.y.dtype == np.int32


def test_split_validation_gives_the_rest_to_the_largest_remainders():
    _, validation = split_validation(labelled([50, 34, 16]), 5, seed=0)
    assert np.bincount(validation.y).tolist() == [2, 2, 1]


@pytest.mark.parametrize("n", [1, 2, 7, 33, 99])
def test_split_validation_shares_are_within_one_of_proportional(n):
    counts = np.array([41, 37, 19, 3])
    _, validation = split_validation(labelled(counts), n, seed=0)
    shares = np.bincount(validation.y, minlength=4)
    assert shares.sum() == n
    assert (np.abs(shares - n * counts / 100) < 1).all()


def test_split_validation_depends_on_the_seed_only():
    split = labelled([50, 50])
    first, again, other = (split_validation(split, 20, seed)[1].x.ravel() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)


@pytest.mark.parametrize("n", [-1, 0, 100, 101])
def test_split_validation_refuses_empty_parts(n):
    with pytest.raises(ValueError, match=f"more than 0 and fewer than the 100 .* got {n}"):
        split_validation(labelled([60, 40]), n, seed=0)


# --- digits ---------------------------------------------------------------------------------


def test_digits_values():
    digits = load_dataset("digits")
    assert digits.train.x.shape == (1437, 8, 8, 1) and digits.test.x.shape == (360, 8, 8, 1)
    assert digits.train.x.dtype == np.uint8 and digits.train.y.dtype == np.int32
    assert (digits.classes, digits.scale, digits.image_shape) == (10, 16, (8, 8, 1))
    x = np.concatenate([digits.train.x, digits.test.x])
    y = np.concatenate([digits.train.y, digits.test.y])
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (x.min(), x.max(), x.sum(dtype=int)) == (0, 16, 561718)
    per_class = np.bincount(digits.test.y)
    assert (np.abs(per_class - 360 * np.bincount(y) / 1797) < 1).all()


def test_digits_split_is_the_published_one():
    digits = load_dataset("digits")
    assert digits.train.y[:10].tolist() == [8, 7, 8, 7, 7, 8, 1, 7, 8, 3]
    assert digits.test.y[:10].tolist() == [6, 6, 6, 2, 5, 6, 6, 2, 2, 1]
    assert md5(digits.test.x.tobytes()) == "8d88ec880ac09baa80f91e35b117942d"


def test_digits_are_those_of_sklearn():
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    digits = load_dataset("digits")
    mine = [
        (int(y), x.tobytes())
        for part in (digits.train, digits.test)
        for x, y in zip(*part, strict=True)
    ]
    pairs = zip(bunch.target, bunch.images.astype(np.uint8), strict=True)
    assert sorted(mine) == sorted((int(y), x.tobytes()) for y, x in pairs)


def test_digits_need_neither_sklearn_nor_pooch():
    program = (
        "import sys; from eqprop.training.data.datasets import load_dataset; load_dataset('digits');"
        "print(sorted({'sklearn', 'pooch'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


# --- real files -----------------------------------------------------------------------------


def moments(images):
    """Mean and standard deviation of `images / 255` by channel, from exact histograms."""
    counts = np.stack([np.bincount(c.ravel(), minlength=256) for c in np.moveaxis(images, -1, 0)])
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(1)
    return mean, np.sqrt(counts @ levels**2 / counts.sum(1) - mean**2)


@needs("mnist")
def test_real_mnist():
    mnist = load_dataset("mnist", REAL_DATA)
    assert mnist.train.x.shape == (60000, 28, 28, 1) and mnist.test.x.shape == (10000, 28, 28, 1)
    train, test = np.bincount(mnist.train.y).tolist(), np.bincount(mnist.test.y).tolist()
    assert train == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    np.testing.assert_allclose(np.ravel(moments(mnist.train.x)), [0.1307, 0.3081], atol=5e-5)


@needs("mnist")
def test_real_mnist_100_is_the_first_of_each_class():
    whole, small, all_tests = (
        load_dataset(n, REAL_DATA) for n in ("mnist", "mnist-100", "mnist-1000")
    )
    assert np.bincount(small.train.y).tolist() == [100] * 10
    assert np.bincount(small.test.y).tolist() == [10] * 10
    threes = whole.train.x[whole.train.y == 3][:100]
    np.testing.assert_array_equal(small.train.x[small.train.y == 3], threes)
    np.testing.assert_array_equal(small.train.x, all_tests.train.x)
    np.testing.assert_array_equal(whole.test.x, all_tests.test.x)


@needs("fashion-mnist")
def test_real_fashion_mnist():
    fashion = load_dataset("fashion-mnist", REAL_DATA / "fashion-mnist")
    assert fashion.train.x.shape == (60000, 28, 28, 1)
    assert np.bincount(fashion.train.y).tolist() == [6000] * 10
    assert np.bincount(fashion.test.y).tolist() == [1000] * 10
    np.testing.assert_allclose(np.ravel(moments(fashion.train.x)), [0.2860, 0.3530], atol=5e-5)


@needs("mnist")
@needs("fashion-mnist")
def test_real_mnist_is_not_taken_for_fashion_mnist():
    with pytest.raises(DataError, match="expected md5 f4a8712d7a061bf5bd6d2ca38dc4d50a"):
        load_dataset("fashion-mnist", REAL_DATA / "mnist")


@needs("mnist")
def test_real_mnist_unzipped(root):
    for name in _sources.IDX_NAMES:
        packed = (REAL_DATA / "mnist" / f"{name}.gz").read_bytes()
        (root / name).write_bytes(gzip.decompress(packed))
    assert load_dataset("mnist", root).train.x.shape == (60000, 28, 28, 1)


@pytest.mark.long
@needs("cifar-10")
def test_real_cifar(cache, monkeypatch):
    cifar = load_dataset("cifar-10", REAL_DATA)
    assert cifar.train.x.shape == (50000, 32, 32, 3) and cifar.test.x.shape == (10000, 32, 32, 3)
    assert np.bincount(cifar.train.y).tolist() == [5000] * 10
    assert np.bincount(cifar.test.y).tolist() == [1000] * 10
    mean, std = moments(cifar.train.x)
    np.testing.assert_allclose(mean, [0.49139968, 0.48215841, 0.44653091], atol=1e-7)
    np.testing.assert_allclose(std, [0.24703223, 0.24348513, 0.26158784], atol=1e-7)
    monkeypatch.setattr(_sources, "read_tar", None)
    again = load_dataset("cifar-10", REAL_DATA)
    np.testing.assert_array_equal(again.train.x, cifar.train.x)
    np.testing.assert_array_equal(again.test.y, cifar.test.y)
    for path in cache.iterdir():
        path.unlink()


def own(**change):
    x = np.zeros((6, 2, 2, 1))
    split = Split(x, np.arange(6) % 2)
    return data.Dataset(
        **{"name": "own", "train": split, "test": split, "classes": 2, "scale": 1.0} | change
    )


def test_values_beyond_the_scale_are_warned_of():
    x, y = np.full((4, 2, 2, 1), 2.0), np.arange(4) % 2
    with pytest.warns(RuntimeWarning, match=r"expected x / scale in \[0, 1\], got 2 to 2"):
        check_both(Dataset("own", Split(x, y), Split(x, y), 2, 1.0))
    check_both(Dataset("own", Split(x, y), Split(x, y), 2, 2.0))


def test_splits_of_different_units_are_warned_of():
    x, y = np.linspace(0, 1, 16).reshape(4, 2, 2, 1), np.arange(4) % 2
    check_both(Dataset("own", Split(x, y), Split(x / 2, y), 2))
    with pytest.warns(RuntimeWarning, match="test examples: expected values as in the training"):
        check_both(Dataset("own", Split(x, y), Split(x / 16, y), 2))


def test_lists_are_refused():
    x, y = np.ones((4, 2, 2, 1)), [0, 1, 0, 1]
    with pytest.raises(DataError, match="labels: expected a NumPy array, got list"):
        check(Split(x, y), 2)
    with pytest.raises(
        DataError, match="train: expected a Split of examples and labels, got tuple"
    ):
        check_both(Dataset("own", (x, y), Split(x, np.array(y)), 2))


@pytest.mark.parametrize("part", ["train", "test"])
def test_both_splits_of_a_data_set_are_checked(part):
    bad = Split(np.full((6, 2, 2, 1), np.nan), np.arange(6) % 2)
    with pytest.raises(DataError, match="images: expected finite values, got 24"):
        data.check_both(own(**{part: bad}))


def test_a_data_set_of_ones_own_is_checked():
    data.check_both(own())
    small = Split(np.zeros((6, 2, 1, 1)), np.arange(6) % 2)
    with pytest.raises(DataError, match=r"test images: expected .*\(2, 2, 1\), got \(2, 1, 1\)"):
        data.check_both(own(test=small))
    with pytest.raises(DataError, match="labels"):
        data.check_both(own(classes=1))
    for scale in (0.0, 1e-300, 1e300, np.nan, "255", None):
        with pytest.raises(DataError, match="scale: expected a number > 0"):
            data.check_both(own(scale=scale))
    with pytest.raises(DataError, match="targets: expected a floating-point dtype, got int"):
        data.check_both(own(classes=0))
    for classes in (-1, 2.0, "2", None):
        with pytest.raises(DataError, match="classes: expected a whole number > 0"):
            data.check_both(own(classes=classes))
    with pytest.raises(DataError, match="name: expected a text, got None"):
        data.check_both(own(name=None))
